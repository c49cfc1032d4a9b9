"""Functions that compute the rows of the table `evaluation` of `application=evaluate`, one module per topic."""
