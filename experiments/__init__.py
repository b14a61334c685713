"""Experiments on top of `training`, one folder each; `training` never imports them."""
