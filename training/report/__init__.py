"""The report: every figure of the model cards, measured again from the artefacts and the data, with pictures."""
