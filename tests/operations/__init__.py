"""Tests of what operators see: metrics, traces, dashboards and alerts."""
