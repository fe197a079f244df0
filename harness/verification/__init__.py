"""A second reader of records: what follows from the spec and the files of a run, computed anew and compared.

It loads no model, and shares no formula with what wrote the record.
"""
