"""The run folder, and the pipeline that fills it: prepare, train, predict, score, report."""
