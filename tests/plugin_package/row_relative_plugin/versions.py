"""What the record says of the engine."""

import transformers

VERSION = f"one at a time, transformers {transformers.__version__}"
