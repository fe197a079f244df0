"""Is an output an answer at all? Is a cell fit to be judged?"""
