"""The pipeline from spec to record, the store of artefacts and the journal."""
