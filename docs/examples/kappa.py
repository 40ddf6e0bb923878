"""Cohen's kappa (Cohen 1960): agreement of predictions and labels beyond chance, as scikit-learn computes it."""

import mmeval

MMEVAL_API = "1.0"


@mmeval.hookimpl
def register_metrics(register):
    """Register the metric with mmeval."""
    from sklearn.metrics import cohen_kappa_score

    register(mmeval.MetricSpec(name="kappa", summary="Agreement beyond chance", function=cohen_kappa_score))
