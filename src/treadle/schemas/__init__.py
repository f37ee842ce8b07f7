"""JSON Schemas (draft 7) of the files of `conf/`, for editors: completion, descriptions on hover, and validation."""
