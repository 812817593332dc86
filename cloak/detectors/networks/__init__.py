"""Detectors' networks in plain torch, without their pre-processing and decoding."""
