"""What the user wrote: specs, golden values, records. Imports no torch."""
