package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Models of many kinds, as PyTorch wrote them: {@code models.py} beside the files. */
final class PyTorchModelsTest {
    private static final String PLAIN = "Linear(4, 8), BatchNorm1d(8), ReLU(), Linear(8, 3)";

    private static Safetensors file(String model) throws IOException {
        return SafetensorsTest.readReference("model-" + model + ".safetensors");
    }

    private static String text(Safetensors file) {
        return file.metadata().get("modules");
    }

    private static void assertInfersAsPyTorch(Layer network, String model) throws IOException {
        Map<String, Matrix> expected =
                SafetensorsTest.readReference("models-expected.safetensors").state();
        PyTorchTest.assertClose(network.infer(expected.get(model + ".x")), expected.get(model + ".y"));
    }

    /** What {@code load_state_dict(strict=True)} looks at: names and shapes; and the values, but for the counts. */
    private static Map<String, Object> content(Safetensors file) {
        Map<String, Object> content = new HashMap<>();
        file.tensors().forEach((name, tensor) -> {
            content.put(name + " shape", tensor.shape());
            if (!name.endsWith("num_batches_tracked")) {
                content.put(name, tensor.matrix());
            }
        });
        return content;
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "data-parallel",
                "compiled",
                "attribute",
                "named",
                "nested",
                "gaps",
                "sync",
                "not-affine",
                "batch-norm-without-bias",
                "without-bias",
                "constants",
                "linear",
                "scaler",
                "types"
            })
    void network_ofModel_infersAsPyTorchAndGoesBackAsItCame(String model) throws IOException {
        Safetensors file = file(model);
        Network network = PyTorch.network(file);

        assertInfersAsPyTorch(network, model);
        assertThat(content(PyTorch.stateDict(network, text(file)))).isEqualTo(content(file));
    }

    @Test
    void network_ofAveragedModel_ignoresItsCount() throws IOException {
        assertInfersAsPyTorch(PyTorch.network(file("averaged")), "averaged");
    }

    @Test
    void network_vectorsAsRows_areVectors() throws IOException {
        assertInfersAsPyTorch(PyTorch.network(file("rows")), "rows");
    }

    /** They have other types and ranks, or no entries. */
    @Test
    void network_tensorsOfNoModule_areIgnored() throws IOException {
        byte[] bytes = SafetensorsTest.reference("model-extras.safetensors");
        Safetensors file = Safetensors.read(new ByteArrayInputStream(bytes), name -> !name.equals("complex"));

        assertThat(file.tensors()).containsKeys("steps", "mask", "bytes", "positions", "kernels", "empty");
        assertInfersAsPyTorch(PyTorch.network(file), "extras");
    }

    @Test
    void network_weightOfThreeDimensions_isOfNoLayer() throws IOException {
        byte[] bytes = SafetensorsTest.reference("model-extras.safetensors");
        Safetensors file = Safetensors.read(new ByteArrayInputStream(bytes), name -> !name.equals("complex"));
        Map<String, Safetensors.Tensor> tensors = new HashMap<>(file.tensors());
        tensors.put("convolution.weight", tensors.remove("positions"));

        assertInfersAsPyTorch(PyTorch.network(Safetensors.ofTensors(tensors), text(file)), "extras");
    }

    @Test
    void network_ofShards_isThatOfOneFile() throws IOException {
        assertInfersAsPyTorch(PyTorch.network(file("shard-1").and(file("shard-2"))), "shards");
    }

    @Test
    void network_renamedTensors_keepTheirRank() throws IOException {
        Map<String, Safetensors.Tensor> renamed = new HashMap<>();
        file("gaps").tensors().forEach((name, tensor) -> renamed.put("renamed." + name, tensor));

        Safetensors file = Safetensors.ofTensors(renamed);
        assertThat(file.tensors().get("renamed.4.weight").shape()).containsExactly(8);
        assertThat(PyTorch.network(file, text(file("gaps"))).state())
                .isEqualTo(PyTorch.network(file("gaps")).state());
    }

    @Test
    void network_batchNormWithoutMomentum_takesTheOneThatIsChosen() throws IOException {
        Safetensors file = file("momentum-none");
        Network network = PyTorch.network(file, text(file).replace("momentum=None", "momentum=0.25"));

        assertInfersAsPyTorch(network, "momentum-none");
        assertThat(((BatchNorm) network.layers().get(1)).momentum()).isEqualTo(0.25);
        assertThat(content(PyTorch.stateDict(network, text(file)))).isEqualTo(content(file));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "module.", "_orig_mod.", "model.", "net.", "_orig_mod.module.", "a.b-c."})
    void network_anyPrefix_isFound(String prefix) throws IOException {
        Network network = PyTorch.network(file("gaps"));
        Map<String, Matrix> renamed = new HashMap<>();
        file("gaps").state().forEach((name, matrix) -> renamed.put(prefix + name, matrix));
        renamed.put("steps", Matrix.ofRow(1));
        if (!prefix.isEmpty()) {
            renamed.put("other.weight", Matrix.ofRow(1));
        }

        Safetensors file = Safetensors.of(renamed);
        assertThat(PyTorch.network(file, text(file("gaps"))).state()).isEqualTo(network.state());
        assertThat(PyTorch.network(file, text(file("gaps")), prefix).state()).isEqualTo(network.state());
    }

    @Test
    void network_partOfModelInAnotherPlace_isNotTakenForIt() throws IOException {
        Map<String, Matrix> renamed = new HashMap<>();
        file("gaps").state().forEach((name, matrix) -> renamed.put("b." + name, matrix));
        renamed.put("a.1.weight", Matrix.zeros(8, 4)); // the first tensor that is looked for

        assertThat(PyTorch.network(Safetensors.of(renamed), text(file("gaps"))).state())
                .isEqualTo(PyTorch.network(file("gaps")).state());
    }

    @Test
    void network_modelInTwoPlaces_takesTheOneThatIsNamed() throws IOException {
        Safetensors file = file("two-heads");

        assertInfersAsPyTorch(PyTorch.network(file, PLAIN, "critic."), "two-heads");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> PyTorch.network(file, PLAIN))
                .withMessage("PyTorch.network: the prefix is one of \"actor.\", \"critic.\", expected a single one;"
                        + " pass it as an argument");
    }

    @Test
    void layers_ofModelOfOnesOwn_areReadByName() throws IOException {
        Safetensors file = file("own");
        Affine last = PyTorch.linear(file, "fc2");

        assertInfersAsPyTorch(
                new Network(PyTorch.linear(file, "fc1"), PyTorch.batchNorm1d(file, "bn1"), new ReLU(), last), "own");
        assertThat(last.hasBias()).isFalse();
    }

    @Test
    void network_ofModelOfOnesOwnAsSequential_infersAsPyTorchAndGoesBackAsItCame() throws IOException {
        Safetensors file = file("own");
        String text = "Sequential((fc1): Linear(), (bn1): BatchNorm1d(), (relu): ReLU(), (fc2): Linear())";
        Network network = PyTorch.network(file, text);

        assertInfersAsPyTorch(network, "own");
        assertThat(content(PyTorch.stateDict(network, text))).isEqualTo(content(file));
    }

    @Test
    void batchNorm1d_constants_areItsOwn() throws IOException {
        Safetensors file = file("constants");
        BatchNorm defaults = PyTorch.batchNorm1d(file, "1");
        BatchNorm given = PyTorch.batchNorm1d(file, "1", 0x1p-20, 1 / 3.0);

        assertThat(defaults.epsilon()).isEqualTo(1e-5);
        assertThat(defaults.momentum()).isEqualTo(0.1);
        assertThat(given.epsilon()).isEqualTo(0x1p-20);
        assertThat(given.momentum()).isEqualTo(1 / 3.0);
        assertThat(PyTorch.batchNorm1d(file("not-affine"), "1").gamma().value()).isEqualTo(Matrix.filled(1, 8, 1));
    }

    static List<Arguments> refused() {
        return List.of(
                arguments("own", "the class of the module is \"Own\", expected Sequential; "),
                arguments("residual", "the class of module 0 is \"Residual\", expected Sequential; "),
                arguments("two-heads", "the class of the module is \"Module\", expected Sequential; "),
                arguments(
                        "weight-norm",
                        "module 0 (Linear): tensor \"0.weight\" is missing, expected one of 2 dimensions; "),
                arguments("gelu", "module 2: type is \"GELU\", expected "),
                arguments("softmax", "module 4: type is \"Softmax\", expected "),
                arguments("layer-norm", "module 1: type is \"LayerNorm\", expected "),
                arguments("convolution", "module 0: type is \"Unflatten\", expected "),
                arguments("not-tracked", "module 1 (BatchNorm1d): track_running_stats is False, expected True; "),
                arguments("momentum-none", "module 1 (BatchNorm1d): momentum is None, expected a number; "));
    }

    @ParameterizedTest
    @MethodSource("refused")
    void network_ofModelThatCannotBeRight_refusedWithItsReason(String model, String reason) throws IOException {
        Safetensors file = file(model);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> PyTorch.network(file))
                .withMessageStartingWith("PyTorch.network: " + reason);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "Linear(4, 8), BatchNorm1d(8), ReLU() | the number of modules that compute something is 3, expected 4,"
                        + " as the network has layers",
                "Linear(4, 8), ReLU(), BatchNorm1d(8), Linear(8, 3) | module 1 (ReLU): the layer is BatchNorm 8,"
                        + " expected one of the module's type",
                "Linear(5, 8), BatchNorm1d(8), ReLU(), Linear(8, 3) | module 0 (Linear): in_features is 5, expected 4,"
                        + " as its tensors have",
                "Linear(4, 8), BatchNorm1d(9), ReLU(), Linear(8, 3) | module 1 (BatchNorm1d): num_features is 9,"
                        + " expected 8, as its tensors have",
                "BatchNorm1d(4), BatchNorm1d(8), ReLU(), Linear(8, 3) | module 0 (BatchNorm1d): the layer is"
                        + " Affine 4→8, expected one of the module's type",
                "Linear(4, 8), Linear(8, 8), ReLU(), Linear(8, 3) | module 1 (Linear): the layer is BatchNorm 8,"
                        + " expected one of the module's type",
                "Linear(4, 8, bias=False), BatchNorm1d(8), ReLU(), Linear(8, 3) | module 0 (Linear): having a bias is"
                        + " true, expected false, as in the text",
                "Linear(4, 8), BatchNorm1d(8, eps=0.5), ReLU(), Linear(8, 3) | module 1 (BatchNorm1d): epsilon is"
                        + " 1.0E-5, expected 0.5, as in the text",
                "Linear(4, 8), BatchNorm1d(8, momentum=0.5), ReLU(), Linear(8, 3) | module 1 (BatchNorm1d): momentum is"
                        + " 0.1, expected 0.5, as in the text",
                "Linear(4, 9), BatchNorm1d(8), ReLU(), Linear(8, 3) | module 0 (Linear): out_features is 9, expected 8,"
                        + " as its tensors have",
                "Linear(4, 8), BatchNorm1d(8, track_running_stats=False), ReLU(), Linear(8, 3) | module 1"
                        + " (BatchNorm1d): track_running_stats is False, expected True; without running statistics a"
                        + " row's result depends on the other rows",
                "Linear(4, 8), BatchNorm1d(8, bias=False), ReLU(), Linear(8, 3) | module 1 (BatchNorm1d): bias is 1x8"
                        + " [[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, …]], expected all 0.0, for the module of the text"
                        + " has none"
            })
    void stateDict_modulesOfAnotherModel_refused(String text, String reason) {
        Random random = new Random(1);
        BatchNorm norm = new BatchNorm(8);
        norm.beta().setValue(Matrix.filled(1, 8, 1));
        Network network = new Network(new Affine(4, 8, random), norm, new ReLU(), new Affine(8, 3, random));

        assertThatIllegalArgumentException()
                .isThrownBy(() -> PyTorch.stateDict(network, text))
                .withMessage("PyTorch.stateDict: " + reason);
    }

    @Test
    void network_modulesInAnotherOrder_refused() throws IOException {
        Safetensors file = file("data-parallel");
        String text = "Sequential((1): BatchNorm1d(8), (0): Linear(4, 8), (2): ReLU(), (3): Linear(8, 3))";
        assertThatIllegalArgumentException()
                .isThrownBy(() -> PyTorch.network(file, text))
                .withMessage("PyTorch.network: Network.new: layer 1 (Affine): x is Nx8, expected Nx4 (the layer has 4"
                        + " inputs)");
    }

    private static Safetensors with(Safetensors file, String name, Matrix matrix) {
        Map<String, Matrix> state = new HashMap<>(file.state());
        state.put(name, matrix);
        return Safetensors.of(state);
    }

    /** As a pruned bias or an adapter leaves them: the layer is not what its other tensors say. */
    @ParameterizedTest
    @ValueSource(strings = {"bias_orig", "lora_A", "parametrizations.bias.original"})
    void network_furtherTensorOfModule_refused(String name) throws IOException {
        Safetensors sequential = with(file("data-parallel"), "module.0." + name, Matrix.ofRow(1));
        Safetensors own = with(file("own"), "fc1." + name, Matrix.ofRow(1));

        assertThatIllegalArgumentException()
                .isThrownBy(() -> PyTorch.network(sequential, PLAIN))
                .withMessageStartingWith("PyTorch.network: tensor \"module.0." + name + "\" is left over, expected ");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> PyTorch.linear(own, "fc1"))
                .withMessage("PyTorch.linear: tensor \"fc1." + name
                        + "\" is left over, expected tensors that such a module has");
    }

    @Test
    void network_bareModuleWithFurtherTensor_refused() throws IOException {
        Safetensors file = with(file("linear"), "bias_mask", Matrix.ofRow(1, 1, 1));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> PyTorch.network(file, "Linear(4, 3)"))
                .withMessageStartingWith("PyTorch.network: tensor \"bias_mask\" is left over, expected ");
    }

    @Test
    void network_sizesAsVariables_areThoseOfTheFile() throws IOException {
        Safetensors file = file("data-parallel");
        String text = "nn.Sequential(*[nn.Linear(inputs, n), nn.BatchNorm1d(n), nn.ReLU(), nn.Linear(n, outputs)])";
        assertInfersAsPyTorch(PyTorch.network(file, text), "data-parallel");
    }
}
