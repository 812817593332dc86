"""The small networks of the fake detectors.

``face`` serves the warp and the blend detector, ``splice`` the splice detector, ``svm`` the support vector machine
that judges the pulse.
"""
