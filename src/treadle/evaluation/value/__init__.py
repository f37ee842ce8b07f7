"""What decisions are worth: by gains that the user declares, for what there is to decide."""
