"""The parts of the csv2vw command; they know rows and VW lines, not arguments, exit codes or standard streams."""
