"""Where the numbers of a run are written: a file, TensorBoard, Weights & Biases, Trackio, MLflow, or an object of the user's."""
