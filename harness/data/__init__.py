"""The cache of downloaded data and of what is made of it: where it is, what it has to hold, checked at every use."""
