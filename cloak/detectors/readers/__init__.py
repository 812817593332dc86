"""Small readers of the file formats that detectors' weights come in.

ONNX, TFLite, dlib's own and TensorFlow.js; nothing is unpickled, and every size in a file has a limit.
"""
