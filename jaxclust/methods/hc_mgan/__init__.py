"""A tree of clusters grown from the top by multi-generator GANs (hc-mgan; Mello, MSc thesis, UFMG 2021).

    s_k    membership of every example in node k, in [0, 1]        P_s    draws example i with probability s_i / sum s
    G      generator        D      discriminator, after its sigmoid        C      classifier, after its softmax
    D and C share their features, which D's loss alone moves.

The root's s is 1. The leaf with the largest mass is split (algorithm 3.1), until there are as many as are asked
for. gamma is the weight of C in G's loss (printed as lambda in eq. 3.2, as gamma in table 4.3):

  raw split (algorithm 3.2, which has the halves; eq. 3.2 to 3.4 print none): generators a and b, one D, one C, real
  examples of P_s_k
    D     -log D(x) - 1/2 log(1 - D(G_a)) - 1/2 log(1 - D(G_b))                      (eq. 3.3)
    C     -1/2 log C_a(G_a) - 1/2 log C_b(G_b)                                       (eq. 3.4)
    G     -1/2 log D(G_a) - 1/2 log D(G_b) + gamma times the same as C               (eq. 3.2)
    then  s_l = C_a(x) s_k and s_m = C_b(x) s_k

  T refinements (algorithms 3.3 and 3.4, eq. 3.5 to 3.7): a group l and a group m, each with its G, D and C, in turn
    D     -log D(x) - log(1 - D(G)), x of P_s_l or P_s_m
    C     -1/2 log C_own(G) - 1/2 log C_other(G'), G' the other group's
    G     -log D(G) + gamma (-1/2 log C_own(G) - 1/2 log C'_own(G)), C' the other group's
    then  s_l = p s_k and s_m = (1 - p) s_k, p the mean of what both C say

s_l + s_m = s_k: the leaves' memberships of an example sum to one. A key belongs to a node, whatever is split before or
beside it, so several leaves that will be split anyway are trained at a time, in one program, with the same result to
rounding.

Deviations and options, the text's value last:

    always                  layer normalisation is over a whole image, z has mean 0 and variance 1 (nn/gan.py)
    always                  steps come in chunks of 32
    always                  a training whose D wins, or whose losses are not finite, is begun anew; by eye
    always                  a split that leaves a child nearly empty is begun anew
    start                   'manifold': a split begins with the normalised cut of a graph of neighbours; 'raw'
    real_weight w           C also see real examples, + w/2 (-log C_own(x) - log C_other(x')), x' of the other group; 0
    prior                   'mass': log m_l / m_m, of the groups' masses, is added to C's log odds; 'equal'
    warm_start              a refinement goes on with the networks of the one before; no
    settled                 a split that moves little mass is refined no further; all T refinements
    last_noise_variance     noise stays small throughout; it falls to 0
    order                   'together': both groups are updated from the same state; 'turn'
    n_clusters              'auto': no split whose cut, doubt of the two C, or smallest child is out of bounds; a number
    rotation, zoom, ...     all that D and C see is transformed (Zhao et al. 2020, Differentiable augmentation); not
    width, rates, steps     'quick' has narrower networks that learn faster
"""

from jaxclust.methods.base import Method, presets
from jaxclust.methods.hc_mgan import fit
from jaxclust.methods.hc_mgan.config import PAPERS, QUICK, Config
from jaxclust.methods.hc_mgan.model import restore

METHOD = Method(
    name="hc-mgan",
    title="clustering tree grown from the top by multi-generator GANs",
    source="Mello, Generative adversarial networks for hierarchical clustering, MSc thesis, UFMG 2021",
    Config=Config,
    presets=presets(QUICK, papers=PAPERS),
    fit=fit.fit,
    restore=restore,
    warm=False,
)
