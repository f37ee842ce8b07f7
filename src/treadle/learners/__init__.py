"""A LightningModule and a LightningDataModule of the user's own: trained, tested, and asked for predictions."""
