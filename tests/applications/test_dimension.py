import numpy as np
from sklearn.decomposition import PCA

from autoencoders.applications.dimension import dimension


def test_a_linear_code_loses_what_image_pca_loses(digits_run):
    found = dimension(digits_run, measured=100)
    kept = found.tables["kept"]
    assert kept["components"].tolist()[0] == 1
    assert kept["components"].tolist()[-1] == 16
    np.testing.assert_allclose(kept["mse, codes"], kept["mse, image PCA"], rtol=1e-2)
    assert (np.diff(kept["mse, codes"]) < 0).all()
    table = found.tables["spectrum"].set_index("method")
    assert table.loc["pca", "for 90 %"] == table.loc["PCA-16", "for 90 %"] <= table.loc["pca", "for 99 %"] <= 16
    assert "dimension" in found.figures
    x = digits_run.batch("train").x.flatten(1).double().numpy()
    z = PCA(16, whiten=True, svd_solver="full").fit_transform(x)
    variances = np.linalg.eigvalsh(np.cov(z[np.linspace(0, len(z) - 1, min(3000, len(z))).round().astype(int)].T))
    expected = variances.sum() ** 2 / (variances**2).sum()
    np.testing.assert_allclose(table.loc["whitened PCA-16", "participation ratio"], expected, rtol=1e-3)


def test_a_conditional_model_gets_the_label(cvae_run):
    assert dimension(cvae_run, measured=20, rows=100).tables["kept"]["components"].tolist() == [1, 2]
