"""What a report shows, read back from its HTML and held against the records before it is written."""
