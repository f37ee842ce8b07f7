"""Group `augmentation`: how training batches are augmented; the whole group is one `_target_`."""

NO_AUGMENTATION = "treadle.training.augmentation.NoAugmentation"
