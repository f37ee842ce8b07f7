"""Every mistake of a composed configuration at once, before anything heavy is imported."""
