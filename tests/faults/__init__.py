"""What goes wrong around the service: databases that leave, freeze or fill, servers that are killed, clients that dawdle, clocks that
are set back. Nothing hangs, nothing that was answered is lost, nothing is allowed that must not be. The longer ones are in `chaos/`."""
