"""Online prediction: rows in over HTTP, predictions out, by the code that evaluated the model."""
