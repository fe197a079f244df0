"""Why a cell is unexpected or invalid, from its record and completions alone: no model is loaded."""
