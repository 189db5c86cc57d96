"""experiments.bench.aot without its compilers: reading HLO, the verdicts, the registry of steps, bad input."""

import importlib.util
from math import inf

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from experiments.bench import _hlo, _targets, aot, predictions
from experiments.bench.steps import STEPS
from jaxclust import numerics
from jaxclust.methods import METHODS
from jaxclust.train.mesh import make_mesh

MODULE = """HloModule jit_chunk, input_output_alias={ {0}: (0, {}, may-alias), {1}: (3, {}, must-alias) }, layout

%fused (a: bf16[8,16], b: f32[16,4]) -> f32[8,4] {
  %a = bf16[8,16]{1,0:T(8,128)(2,1)} parameter(0)
  %b = f32[16,4]{1,0} parameter(1)
  %wide = f32[8,16]{1,0} convert(%a)
  ROOT %dot.1 = f32[8,4]{1,0} dot(%wide, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

ENTRY %main (x: bf16[2,8,8,3], k: bf16[3,3,3,4]) -> (bf16[2,8,8,4], f32[]) {
  %x = bf16[2,8,8,3]{3,2,1,0} parameter(0)
  %k = bf16[3,3,3,4]{3,2,1,0} parameter(1)
  %y = bf16[2,8,8,4]{3,2,1,0} convolution(%x, %k), window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_01io->b01f
  %c = (bf16[2,4,4,3]{3,2,1,0}, u8[0]{0}) custom-call(%y, /*index=1*/%k), window={size=3x3 stride=2x2}, \
dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convForward"
  %first = bf16[2,4,4,3]{3,2,1,0} get-tuple-element(%c), index=0, metadata={op_name="__cudnn$convForward"}
  %start = (f32[], f32[]) all-reduce-start(%s), replica_groups={}
  %done = f32[] all-reduce-done(%start)
  %all = (f32[4]{0}, f32[4]{0}) all-reduce(%p, %q), to_apply=%add
  %t = token[] after-all()
  %sent = (f32[], u32[], token[]) send(%done, %t), channel_id=1, is_host_transfer=true
  %peer = (f32[], u32[], token[]) send(%done, %t), channel_id=2
  %call = () custom-call(%done), custom_call_target="xla_ffi_python_gpu_callback", metadata={op_name="x"}
  %gather = f32[4]{0} custom-call(%done), custom_call_target="Gather", metadata={op_name="callback"}
  ROOT %out = (bf16[2,8,8,4]{3,2,1,0}, f32[]) tuple(%y, %done)
}
"""


def test_products_by_type_and_their_multiply_adds():
    found = _hlo.products(MODULE)
    assert found.count == {"f32": 1, "bf16": 2}
    assert found.multiply_adds["f32"] == 8 * 16 * 4
    # kernel (o, 0, 1, i) of the call is (3, 3, 3, 4) too: nine taps of four channels for each of its outputs
    assert found.multiply_adds["bf16"] == 2 * 8 * 8 * 4 * 9 * 3 + 2 * 4 * 4 * 3 * 9 * 4
    assert found.share("f32") == 512 / found.total


def test_collectives_host_calls_and_aliases():
    assert _hlo.collectives(MODULE) == {"all-reduce": 2}
    assert _hlo.host_calls(MODULE) == 2
    assert _hlo.aliased(MODULE) == {0, 3}


@pytest.mark.parametrize("strides", [1, 2])
def test_a_convolution_and_its_gradients_cost_the_same(strides):
    """In the form that JAX lowers them to: dilated inputs and dilated kernels."""

    def step(x, kernel):
        def convolve(x, kernel):
            return lax.conv_general_dilated(
                x, kernel, (strides,) * 2, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )

        y, pullback = jax.vjp(convolve, x, kernel)
        return pullback(y)

    shapes = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.bfloat16), jax.ShapeDtypeStruct((3, 3, 3, 4), jnp.bfloat16)
    found = _hlo.products(jax.jit(step).lower(*shapes).as_text("hlo"))
    one = 2 * (8 // strides) ** 2 * 4 * 9 * 3
    assert found.count == {"bf16": 3}
    assert found.total == 3 * one


def test_a_loop_counts_as_often_as_it_goes_round():
    def nested(x, y):
        return lax.scan(lambda c, _: (lax.map(lambda row: row @ y, c), None), x, None, length=3)[0]

    lowered = jax.jit(nested).lower(jnp.ones((5, 32, 32)), jnp.ones((32, 32)))
    for text in (lowered.as_text("hlo"), lowered.compile().as_text()):
        found = _hlo.products(text)
        assert found.count == {"f32": 1}
        assert found.total == 3 * 5 * 32**3


def test_a_compiled_program_reads_like_its_source():
    text = (
        jax.jit(lambda x, y: x @ y, donate_argnums=0).lower(jnp.ones((64, 64)), jnp.ones((64, 64))).compile().as_text()
    )
    assert _hlo.aliased(text) == {0}
    assert _hlo.host_calls(text) == 0
    assert _hlo.collectives(text) == {}


def test_products_of_distances_are_told_by_their_precision():
    def step(x, y):
        with jax.named_scope(numerics.EXACT):
            inexact = x @ y.T
        return numerics.squared_distances(x, y), inexact, x @ y.T

    text = jax.jit(step).lower(jnp.ones((3, 2)), jnp.ones((4, 2))).as_text("hlo", debug_info=True)
    assert _hlo.exact(text, numerics.EXACT) == (1, 1)
    whole, rest = _hlo.products(text), _hlo.products(text, (numerics.EXACT,))
    assert (whole.count, rest.count) == ({"f32": 3}, {"f32": 1})
    on_gpu = (
        '  %g = (f32[3,4]{1,0}, s8[32]{0}) custom-call(%a, %b), custom_call_target="__cublas$gemm", '
        'metadata={op_name="jit(chunk)/while/body/exact/dot_general"}, '
        'backend_config={"gemm_backend_config":{"precision_config":{"operand_precision":["DEFAULT","DEFAULT"]}}}'
    )
    known = "  %a = f32[3,2]{1,0} parameter(0)\n  %b = f32[2,4]{1,0} parameter(1)\n"
    assert _hlo.exact(known + on_gpu, numerics.EXACT) == (0, 1)
    assert _hlo.exact(known + on_gpu.replace("DEFAULT", "HIGHEST"), numerics.EXACT) == (1, 0)
    assert _hlo.exact((known + on_gpu.replace("DEFAULT", "HIGHEST")).replace("f32", "bf16"), "exact") == (0, 1)


GOOD = aot.Row(
    step="s", target="t", batch=64, mesh={"data": 4, "expert": 1}, capacity=100, memory=90,
    collectives={"all-reduce": 1}, products={"bf16": 9, "f32": 1}, float32_share=0.01, repeated=1.0, state=8, aliased=8,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, None),
        ({"memory": 101}, "does not fit"),
        ({"memory": None}, "does not fit"),
        ({"collectives": {"all-gather": 3}}, "not sharded"),
        ({"repeated": 2.0}, "not sharded"),
        ({"repeated": 4.0, "mesh": {"data": 1, "expert": 1}, "collectives": {}}, None),
        ({"aliased": 7}, "not donated"),
        ({"float32_share": 0.5}, "float32"),
        ({"host_calls": 1}, "host"),
        ({"exact": (3, 1)}, "fewer bits"),
    ],
)
def test_every_failure_is_named_alone(change, word):
    found = GOOD._replace(**change).failures()
    assert len(found) == (word is not None)
    assert all(word in failure for failure in found)
    assert len(aot.cells(GOOD._replace(**change), "good")) == len(aot.HEADER)


def test_compute_bound_from_two_counts():
    """At 1 operation and 1 byte a second: 3 operations an example against 100 bytes and 1 an example meet at 50."""
    chip = _targets.Chip(1, 1.0, 1.0, "by hand")
    target = _targets.Target("t", chip, 1, "tpu", "")
    rows = [GOOD._replace(batch=b, flops=3.0 * b, bytes=100.0 + b) for b in (20, 10)]
    assert aot.compute_bound_from(*rows, target) == 50
    rows = [GOOD._replace(batch=b, flops=1.0 * b, bytes=100.0 + 3 * b) for b in (20, 10)]
    assert aot.compute_bound_from(*rows, target) == inf
    rows = [GOOD._replace(batch=b, flops=None, bytes=None) for b in (20, 10)]
    assert aot.compute_bound_from(*rows, target) is None


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=pytest.mark.slow if name not in ("gmm", "dec") else ()) for name in METHODS]
)
def test_what_labels_new_examples_is_described_without_a_fit(method):
    program, arrays, images = predictions.program(method)
    said = jax.eval_shape(program, arrays, images)
    assert said[0].shape[0] == images.shape[0]
    assert said[1].shape == (256, predictions.CLUSTERS)


def test_every_method_has_arrays():
    assert predictions.ARRAYS.keys() == METHODS.keys()


@pytest.mark.parametrize(("fault", "word"), predictions.FAULTS.items())
def test_products_of_distances_that_are_inexact_or_unmarked_are_caught(fault, word):
    program, arrays, images = predictions.program("dec")
    for function, wanted in ((program, None), (predictions.spoiled(program, fault), word)):
        text = jax.jit(function).lower(arrays, images).as_text("hlo", debug_info=True)
        found = predictions.Labelling(
            "dec", "here", _hlo.exact(text, numerics.EXACT), tuple(_hlo.stray(text, numerics.EXACT))
        )
        assert found.exact[0] == 1
        assert [word in failure for failure in found.failures()] == ([] if wanted is None else [True])
        assert len(found.cells()) == len(predictions.HEADER)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_is_described_without_memory(step):
    mesh = make_mesh(jax.devices("cpu")[:1])
    state, images, index, weight = aot.arguments(step, mesh)
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves((state, images, index, weight)))
    assert index.shape[1] == weight.shape[1] == step.batch
    assert step.name.endswith(f"-{step.side}")
    stacked = [leaf for leaf in jax.tree.leaves(state) if leaf.sharding.spec]
    assert bool(stacked) == (step.experts > 1)
    assert all(leaf.shape[0] == step.experts for leaf in stacked)


def test_names_are_unique_and_the_control_is_one_of_them():
    names = [step.name for step in STEPS]
    assert len(set(names)) == len(names)
    assert aot.CONTROL in names


def test_a_step_exports_for_all_platforms():
    assert aot.exported(STEPS[1]) > 10_000


def test_bad_input_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(_targets, "prepare", lambda: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for argv, words in (
        (["--target", "v9"], "target 'v9' is unknown: choose one of v5e:1x1"),
        (["--only", "nothing"], "step 'nothing' is unknown: choose one of autoencoder-32"),
        (["--only", "predict-nothing"], "method 'nothing' is unknown: choose one of moe-vae"),
        (["--target", "v5e:2x2"], "libtpu is not installed: pip install '.[aot]'"),
        (["--target", "h100:4"], "jax_plugins.xla_cuda12 is not installed: pip install '.[aot]'"),
    ):
        assert aot.main(argv) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert words in err
