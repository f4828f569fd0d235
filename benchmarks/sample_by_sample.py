"""The cues as they are defined, with nothing done for speed: the oracle of the tests, a contestant of
`benchmarks.cues`.

It is plain Python, and numba compiles it as it stands.

- `band_cues`: the cues of one band, sample by sample and lag by lag
"""

import numpy as np


def band_cues(x1, x2, b1, b2, fs, window, max_lag, frame_shift):
    """Cues of one band: Faller & Merimaa (2004), JASA 116, 3075-3089, equations 4 to 9.

    Parameters
    ----------
    x1, x2 : ndarray (n_samples,)
        The hair cells' output, left and right.
    b1, b2 : ndarray (n_samples,)
        The filter's output, left and right.
    fs : float
        Sampling rate in Hz.
    window, max_lag, frame_shift : int
        Time constant of the running averages, largest lag and step from frame to frame, in samples.

    Returns
    -------
    ndarray (4, n_samples // frame_shift)
        itd in s, ild in dB, ic, energy in dB.

    Examples
    --------
    The left ear leads by one sample of 62.5 µs and is twice as loud:

    >>> ear = np.array([0.0, 0.0, 1.0, 0.0])
    >>> left = np.array([0.0, 2.0, 0.0, 0.0])
    >>> itd, ild, ic, energy = band_cues(left, ear, left, ear, 16000, 4, 2, 4)
    >>> itd, ild.round(4), ic
    (array([6.25e-05]), array([6.0206]), array([1.]))
    """
    alpha = 1 / window
    n_lags = 2 * max_lag + 1
    a12, a11, a22 = np.zeros(n_lags), np.zeros(n_lags), np.zeros(n_lags)
    p1, p2, gamma = np.zeros(n_lags), np.zeros(n_lags), np.zeros(n_lags)
    cues = np.zeros((4, len(x1) // frame_shift))

    def past(x, n, m):
        return x[n - m] if n >= m else 0.0

    for n in range(len(x1)):
        for i in range(n_lags):
            one, two = max(i - max_lag, 0), max(max_lag - i, 0)
            a12[i] = alpha * past(x1, n, one) * past(x2, n, two) + (1 - alpha) * a12[i]
            a11[i] = alpha * past(x1, n, one) ** 2 + (1 - alpha) * a11[i]
            a22[i] = alpha * past(x2, n, two) ** 2 + (1 - alpha) * a22[i]
            p1[i] = alpha * past(b1, n, one) ** 2 + (1 - alpha) * p1[i]
            p2[i] = alpha * past(b2, n, two) ** 2 + (1 - alpha) * p2[i]
        if (n + 1) % frame_shift:
            continue
        for i in range(n_lags):
            norm = np.sqrt(a11[i] * a22[i])
            gamma[i] = a12[i] / norm if norm > 0 else 0.0
        best = max_lag  # among peaks of one height, but for rounding, the lag nearest 0
        for m in range(1, max_lag + 1):
            for i in (max_lag + m, max_lag - m):
                if gamma[i] > max(gamma[best], 0.0) * (1 + 1e-12):
                    best = i
        lag = float(best - max_lag)
        if 0 < best < n_lags - 1:  # a top that is flat but for rounding stays where it is
            curvature = gamma[best - 1] - 2 * gamma[best] + gamma[best + 1]
            lag += 0.5 * (gamma[best - 1] - gamma[best + 1]) / curvature if curvature < -1e-12 else 0.0
        frame = n // frame_shift
        if p1[best] < 1e-12 and p2[best] < 1e-12:
            cues[3, frame] = -120.0
            continue
        left, right = max(p1[best], 1e-12), max(p2[best], 1e-12)
        cues[0, frame] = lag / fs
        cues[1, frame] = 10 * np.log10(left / right)
        cues[2, frame] = min(max(gamma[best], 0.0), 1.0)
        cues[3, frame] = 10 * np.log10((left + right) / 2)
    return cues
