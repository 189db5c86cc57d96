"""The clustering module, alone (cm) and inside an autoencoder (ae-cm) (Boubekki et al., Machine Learning 110, 2021).

    x_i, z_i   an example, its code                  g_ik    responsibility of cluster k: softmax(z_i W_enc + b_enc)
    mu_k       centroid, W_dec[k] + b_dec            alpha   concentration of the Dirichlet prior (K,)
    zbar_i     sum_k g_ik mu_k, the reconstruction   q_k     batch mean of g_ik
    xhat_i     the autoencoder's reconstruction      cm: z is x, and zbar xbar

The expected log-likelihood of an isotropic Gaussian mixture is the loss of an autoencoder with one hidden layer, whose
code is the responsibilities (theorem 1). Alone, on x (eq. 7; sums over the batch):

    L_CM = E0 + E1 - E2 + E3
    E0 = sum_i |x_i - xbar_i|^2                          reconstruction
    E1 = sum_i sum_k g_ik (1 - g_ik) |mu_k|^2            sparsity
    E2 = sum_i sum_{k != l} g_ik g_il mu_k . mu_l        overlap
    E3 = sum_k (1 - alpha_k) log q_k                     balance

The numbers are those of the text's ablation (5.2.3). Its sections 3 and 4 count from E1: E1 here is E2 there.

Inside an autoencoder, on its code z, with orthonormal centroids, for which E1 simplifies and E2 is zero (eq. 10):

    L = beta sum_i |x_i - xhat_i|^2 + sum_i |z_i - zbar_i|^2 + sum_i sum_k g_ik (1 - g_ik) + E3
        + lambda |mu mu^T - I|_1

Starts: random; or for cm centroids of k-means(++), with W_enc their pseudo-inverse; or for ae-cm 'pretrained': the
autoencoder alone, k-means of its codes, then cm on these codes. In an 'averaging epoch' after the last one the
parameters are averaged over its steps, since small batches scatter them.

Several restarts are trained together, or on a CPU large ones in turn, by one compiled program. The one with the least
L_sp = (E1 - E2) / n is kept (section 5.2.4): no label is needed.

Beyond the text: the start 'manifold' of ae-cm. Density clusters of UMAPs of the codes (host/clusters.py) take the
place of the responsibilities for some epochs, in which the network learns to map them to the corners of a simplex;
then it goes on by the loss above. With n_clusters 'auto' such clusters also say how many there are. The text's sets
have at most as many clusters as a code has dimensions, and its alpha is one for each set. `widen` gives a code more
dimensions where there are more clusters; alpha 'auto' goes with their number.

Deviations: the text's double sum of E2 includes k = l, its eq. 10 prints mu^T mu (losses.py); biases start at zero.
ae-cm 'pretrained' starts from k-means, the text from the seeding of k-means++ alone (4.2.2). The text has no
`encoder_start` 'posterior', which quick has. Adam's epsilon is 1e-3 as in the authors' code, which also averages all
parameters and not the centroids alone.
"""

from jaxclust.methods.base import Method, presets
from jaxclust.methods.clustering_module import fit
from jaxclust.methods.clustering_module.config import AE_FULL, AE_PAPERS, AE_QUICK, PAPERS, QUICK, AEConfig, Config
from jaxclust.methods.clustering_module.model import restore_ae_cm, restore_cm

SOURCE = "Boubekki et al., Joint optimization of an autoencoder for clustering and embedding, Machine Learning 2021"
CM = Method(
    name="cm",
    title="clustering module: a Gaussian mixture trained as an autoencoder with one hidden layer",
    source=SOURCE,
    Config=Config,
    presets=presets(QUICK, papers=PAPERS),
    fit=fit.fit_cm,
    restore=restore_cm,
)
AE_CM = Method(
    name="ae-cm",
    title="autoencoder with a clustering module on its code, trained together",
    source=SOURCE,
    Config=AEConfig,
    presets=presets(AE_QUICK, AE_FULL, AE_PAPERS),
    fit=fit.fit_ae_cm,
    restore=restore_ae_cm,
)
