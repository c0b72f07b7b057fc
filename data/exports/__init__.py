"""The results of a run in the formats that other tools read, a file for each format.

A format is a function that takes `data.run_results.RunResults` and an empty folder, writes into it
in bounded memory, and returns sentences that a person should read. `formats` knows them all; no
format knows another, a command or a page. Boxes are in pixels of the upright picture, and pictures
that a format comes with are upright too, as not every reader turns them.
"""
