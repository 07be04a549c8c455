"""What the network predicts. Each target is a x0 + b eps, so one formula turns any prediction into an estimate of x0.

With x = alpha x0 + sigma eps, eliminating eps gives

    x0 = (sigma * prediction - b x) / (sigma a - alpha b).
"""

from tfgen.diffusion import schedules


def _coefficients(name, alpha, sigma):
    """(a, b) of the target a x0 + b eps."""
    if name == "eps":  # Ho et al., 2020, arXiv:2006.11239
        return 0.0, 1.0
    if name == "x0":
        return 1.0, 0.0
    if name == "v":  # Salimans & Ho, 2022, arXiv:2202.00512
        return -sigma, alpha
    if name == "flow":  # the velocity dx/dt of the straight line; Lipman et al., 2023, arXiv:2210.02747
        return -1.0, 1.0
    raise ValueError(f"unknown parameterisation {name!r}; choose from {', '.join(PARAMETERISATIONS)}")


PARAMETERISATIONS = ("eps", "x0", "v", "flow")


def check(parameterisation, schedule):
    """Refuse what is unknown or cannot work: where a schedule ends in pure noise, eps says nothing of x0 (Lin et al., 2023,
    arXiv:2305.08891, section 3.2)."""
    _coefficients(parameterisation, 1.0, 0.0)
    schedules.get(schedule)
    if parameterisation == "eps" and schedule == "flow":
        raise ValueError('parameterisation "eps" cannot start from the pure noise of schedule "flow"; use "v", "x0" or "flow"')


def to_x0(name, prediction, x, alpha, sigma):
    """The estimate of x0 that a prediction at x means. alpha and sigma broadcast to x."""
    if name == "x0":
        return prediction  # also where sigma is 0 and the fraction below is 0 / 0
    a, b = _coefficients(name, alpha, sigma)
    return (sigma * prediction - b * x) / (sigma * a - alpha * b)
