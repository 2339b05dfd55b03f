"""The live page: digits drawn by hand, and a network that adds them up.

`page/` is the page itself, plain files of a browser: it runs as it stands on any
static host, where ONNX Runtime answers in the browser, and on the server of
`custom_lstm.tasks.demo.server`, which answers for any run.
"""
