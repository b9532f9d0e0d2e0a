"""Tests of failures around the service: databases that stop, freeze or fill up, killed servers, slow clients, clocks that are set back.

Nothing hangs, no confirmed write is lost, and no limit is exceeded. Longer scenarios are in `ops/chaos`.
"""
