"""Build the explorer page: one HTML file in which the trained decoder runs in the browser, without a server.

`content.py` collects the networks, codes and images of a run, and `page.py` renders the page. The folder `assets`
contains the template, the style sheet and the scripts of the page, and `runtime` the files of ONNX Runtime Web.
"""
