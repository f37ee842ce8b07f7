"""JSON Schemas (draft 7) of the files of `conf/`, for editors: completion, meanings on hover, mistakes as one types."""
