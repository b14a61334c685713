"""The column network, which says for each few columns of a piece of ink what digit stands there: strips, fit, graph."""
