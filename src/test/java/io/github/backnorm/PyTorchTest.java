package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.github.backnorm.internal.Allocation;
import io.github.backnorm.internal.safetensors.StoredTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The reference files come from {@code safetensors_files.py} beside them. */
final class PyTorchTest {
    /** The two sum at most 8 terms in other orders, three times, to logits below 100: 3·8·2⁻⁵³·100 is 2.7e-13. */
    private static final Offset<Double> ROUNDING = within(1e-12);

    private static final String SEQUENTIAL = "Linear(3, 5, bias=False), BatchNorm1d(5, eps=0.0001, momentum=0.3), ReLU,"
            + " Linear(5, 4), ReLU(), BatchNorm1d(4, eps=1e-5, momentum=0.1)";

    @TempDir
    private Path folder;

    private static Safetensors file(String name) throws IOException {
        return SafetensorsTest.readReference(name + ".safetensors");
    }

    /** What PyTorch wrote and what this library wrote and PyTorch loaded. */
    @ParameterizedTest
    @ValueSource(strings = {"sequential", "trained"})
    void network_ofFile_givesPyTorchsLogits(String name) throws IOException {
        Network network = PyTorch.network(file(name));
        Map<String, Matrix> reference = file(name + "-logits").state();
        assertClose(network.infer(reference.get("x")), reference.get("logits"));
    }

    static void assertClose(Matrix logits, Matrix expected) {
        assertThat(logits.rows()).isEqualTo(expected.rows()).isPositive();
        for (int i = 0; i < expected.rows(); i++) {
            for (int j = 0; j < expected.columns(); j++) {
                assertThat(expected.get(i, j)).isBetween(-100.0, 100.0);
                assertThat(logits.get(i, j)).isCloseTo(expected.get(i, j), ROUNDING);
            }
        }
    }

    @Test
    void stateDict_ofNetworkThatPyTorchLoaded_isWrittenAsItWas() throws IOException {
        Path written = folder.resolve("trained.safetensors");
        Safetensors trained = file("trained");
        PyTorch.stateDict(PyTorch.network(trained), trained.metadata().get("modules"))
                .writeTo(written);
        assertThat(Files.readAllBytes(written)).isEqualTo(SafetensorsTest.reference("trained.safetensors"));
    }

    @Test
    void stateDict_ofPyTorchsModel_hasItsTensors() throws IOException {
        Map<String, Safetensors.Tensor> expected =
                new HashMap<>(file("sequential").tensors());
        Map<String, Safetensors.Tensor> actual = new HashMap<>(
                PyTorch.stateDict(PyTorch.network(file("sequential"))).tensors());
        for (String count : List.of("1.num_batches_tracked", "5.num_batches_tracked")) {
            assertThat(expected.remove(count).matrix()).isEqualTo(Matrix.ofRow(3));
            assertThat(actual.remove(count)).hasToString("I64 []");
        }
        assertThat(actual).isEqualTo(expected);
    }

    @Test
    void network_ofPrintedModel_hasItsModules() throws IOException {
        Network network = PyTorch.network(file("sequential"));
        assertThat(network)
                .hasToString("Network[Affine 3→5 without bias, BatchNorm 5, ReLU, Affine 5→4, ReLU, BatchNorm 4]");
        BatchNorm first = (BatchNorm) network.layers().get(1);
        assertThat(first.epsilon()).isEqualTo(1e-4);
        assertThat(first.momentum()).isEqualTo(0.3);
        BatchNorm second = (BatchNorm) network.layers().get(5);
        assertThat(second.epsilon()).isEqualTo(1e-5);
        assertThat(second.momentum()).isEqualTo(0.1);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                SEQUENTIAL,
                """
                nn.Sequential(
                    nn.Linear(3, 5, False),
                    nn.BatchNorm1d(5, 1e-4, 0.3, True, True),
                    torch.nn.ReLU(True),
                    nn.Linear(5, 4, bias=True), nn.ReLU(), nn.BatchNorm1d(4, momentum = 1e-1, eps=1e-05),
                )
                """,
                "Linear, BatchNorm1d(eps=1e-4, momentum=.3), ReLU, Linear, ReLU, BatchNorm1d",
                """
                from torch import nn  # comments and imports are skipped
                model = nn.Sequential(
                    nn.Linear(in_features=3, out_features=5, bias=False, dtype=torch.float64), # (3, 5)
                    nn.BatchNorm1d(5, eps = 1e-4, momentum=0.3),
                    nn.ReLU(inplace=True), nn.Linear(5, 4), nn.ReLU(),
                    nn.BatchNorm1d(4),
                ).double().eval();
                """,
                """
                torch::nn::Sequential(
                  (0): torch::nn::Linear(in_features=3, out_features=5, bias=false)
                  (1): torch::nn::BatchNorm1d(5, eps=0.0001, momentum=0.3, affine=true, track_running_stats=true)
                  (2): torch::nn::ReLU(inplace=true)
                  (3): torch::nn::Linear(in_features=5, out_features=4, bias=true)
                  (4): torch::nn::ReLU()
                  (5): torch::nn::BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=true, track_running_stats=true)
                )""",
                """
                self.net = Sequential(OrderedDict([
                    ("0", Linear(3, 5)), ('1', BatchNorm1d(5, 1e-4, .3)), ("2", ReLU()), ("3", Linear(5, 4)),
                    ("4", ReLU()), ("5", BatchNorm1d(4))]))""",
                """
                Sequential(OrderedDict({"0": Linear(3, 5), "1": BatchNorm1d(5, 1e-4, .3), "2": ReLU(),
                    "3": Linear(5, 4), "4": ReLU(), "5": BatchNorm1d(4)}))""",
                """
                (0): Linear(3, 5)\r
                (1): BatchNorm1d(5, eps=1e-4, momentum=0.3)\r
                (2): ReLU()\r
                (3): Linear(5, 4)\r
                (4): ReLU()\r
                (5): BatchNorm1d(4, eps=1e-5, momentum=0.1)"""
            })
    void network_ofModulesInAnyForm_isThatOfTheFile(String modules) throws IOException {
        Safetensors file = file("sequential");
        assertThat(PyTorch.stateDict(PyTorch.network(file.withMetadata("modules", "Dropout"), modules)))
                .isEqualTo(PyTorch.stateDict(PyTorch.network(file)));
    }

    @Test
    void network_ofStateDict_isTheSameToTheBit() {
        Random random = new Random(3);
        BatchNorm batchNorm = new BatchNorm(7, Double.MIN_VALUE, 1 / 3.0);
        Network network = new Network(new ReLU(), new Affine(2, 7, random), batchNorm, new BatchNorm(7, 0, 0));
        network.forward(Matrix.generate(5, 2, (row, column) -> random.nextGaussian()));
        Network copy = PyTorch.network(PyTorch.stateDict(network));
        assertThat(copy).hasToString(network.toString());
        assertThat(copy.state()).isEqualTo(network.state());
        BatchNorm copied = (BatchNorm) copy.layers().get(2);
        assertThat(copied.epsilon()).isEqualTo(Double.MIN_VALUE);
        assertThat(copied.momentum()).isEqualTo(1 / 3.0);
    }

    @ParameterizedTest
    @ValueSource(doubles = {1e-5, 0, 1, 100, 0.1, 0x1p-44, 1e-12, 1.0 / 3, Double.MAX_VALUE, 2e-3, Double.MIN_VALUE})
    void stateDict_anyEpsilon_isWrittenInDigitsThatGiveItBack(double epsilon) {
        Safetensors file = PyTorch.stateDict(new Network(new BatchNorm(1, epsilon, 1)));
        String modules = file.metadata().get("modules");
        String digits = modules.substring(modules.indexOf("eps=") + 4, modules.indexOf(", momentum"));
        assertThat(Double.parseDouble(digits)).isEqualTo(epsilon);
        assertThat(digits).hasSizeLessThanOrEqualTo(26);
        assertThat(((BatchNorm) PyTorch.network(file).layers().get(0)).epsilon())
                .isEqualTo(epsilon);
    }

    @Test
    void stateDict_usualEpsilon_isWrittenShort() {
        Safetensors file =
                PyTorch.stateDict(new Network(new Affine(Matrix.zeros(2, 3), Matrix.zeros(1, 3)), new BatchNorm(3)));
        assertThat(file.metadata())
                .containsExactly(
                        Map.entry("modules", "Sequential(Linear(2, 3), BatchNorm1d(3, eps=0.00001, momentum=0.1))"));
        assertThat(file.tensors().get("0.weight")).hasToString("F64 [3, 2]");
        assertThat(file.tensors().get("1.running_mean")).hasToString("F64 [3]");
    }

    @Test
    void stateDict_noLayers_isNetworkWithoutLayers() {
        assertThat(PyTorch.network(PyTorch.stateDict(new Network()))).hasToString("Network[]");
    }

    @Test
    void stateDict_asFloat32_isRead() {
        Network network = new Network(new Affine(Matrix.ofRow(1 / 3.0), Matrix.ofRow(1)));
        assertThat(PyTorch.network(PyTorch.stateDict(network).asFloat32()).state())
                .isEqualTo(Map.of("0.weight", Matrix.ofRow((float) (1 / 3.0)), "0.bias", Matrix.ofRow(1)));
    }

    @Test
    void stateDict_layerThatPyTorchHasNot_refused() {
        Network network = new Network(new ReLU(), new Scale(Matrix.ofRow(1)));
        assertThatThrownBy(() -> PyTorch.stateDict(network))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage(
                        "PyTorch.stateDict: layer 1 (Scale) is of another type, expected Affine, BatchNorm or ReLU");
    }

    @Test
    void stateDict_networkInside_isTakenAsItsLayers() {
        Affine affine = new Affine(2, 3, new Random(1));
        Network nested = new Network(new Network(affine, new Network()), new ReLU());
        assertThat(PyTorch.stateDict(nested)).isEqualTo(PyTorch.stateDict(new Network(affine, new ReLU())));
    }

    @Test
    void network_withoutMetadatum_refusedWithTheWayOut() {
        Safetensors file = Safetensors.of(Map.of());
        assertThatThrownBy(() -> PyTorch.network(file))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage(
                        "PyTorch.network: metadata entry modules is missing, expected the modules as print(model) shows"
                                + " them; pass them as an argument");
    }

    static List<Arguments> refusedModules() {
        String norm = "Linear, BatchNorm1d(5, eps=0.0001, momentum=0.3), ReLU, Linear, ReLU, ";
        String has = "; the file has \"1.num_batches_tracked\", \"5.num_batches_tracked\", \"0.weight\", \"1.bias\","
                + " \"1.running_mean\", \"1.running_var\", \"1.weight\", \"3.bias\", … (13)";
        String types = "Linear, BatchNorm1d, SyncBatchNorm, ReLU, or Dropout, Identity, Flatten, which are skipped; ";
        String order = "Sequential; the text does not say what its forward calls and in which order: pass the text of"
                + " its Sequential alone, or write it as one, with a ReLU() for each torch.relu, or make its layers by"
                + " PyTorch.linear and PyTorch.batchNorm1d";
        String left =
                " is left over, expected tensors of the modules in the text; if one is missing there, add it, else"
                        + " leave the tensor out by Safetensors.read(file, names)";
        String way = "; pass what print(model) shows, or the expression nn.Sequential(…) alone";
        String separator = "a comma, the end of a line or of the brackets" + way;
        return List.of(
                arguments(
                        "Linear, BatchNorm1d(5, momentum=None)",
                        "module 1 (BatchNorm1d): momentum is None, expected a number; choose one, as in"
                                + " text.replace(\"momentum=None\", \"momentum=0.1\"): it has no effect on inference,"
                                + " and with None PyTorch averages over all batches"),
                arguments(
                        "Linear, BatchNorm1d(5, momentum=much)",
                        "module 1 (BatchNorm1d): momentum is \"much\", expected a number"),
                arguments(
                        "Linear, BatchNorm1d(5, eps=-1, momentum=0.1)",
                        "module 1 (BatchNorm1d): BatchNorm.new: epsilon is -1.0, expected at least 0 and finite"),
                arguments(
                        "Linear, BatchNorm1d(5, track_running_stats=False)",
                        "module 1 (BatchNorm1d): track_running_stats is False, expected True; without running"
                                + " statistics a row's result depends on the other rows"),
                arguments(
                        "Linear, BatchNorm1d(5, affine=No)",
                        "module 1 (BatchNorm1d): affine is \"No\", expected True or False"),
                arguments(
                        "Linear, BatchNorm1d(6, 1e-4, 0.3)",
                        "module 1 (BatchNorm1d): num_features is 6, expected 5, as its tensors have"),
                arguments("Linear(4, 5), ReLU", "module 0 (Linear): in_features is 4, expected 3, as its tensors have"),
                arguments(
                        "Linear(3, 4), ReLU", "module 0 (Linear): out_features is 4, expected 5, as its tensors have"),
                arguments(
                        "Linear(3, 5, bias=True), Linear",
                        "module 0 (Linear): tensor \"0.bias\" is missing, expected one of 1 dimension" + has),
                arguments(
                        "Linear(3, 5, False, 1, 2, 3), ReLU",
                        "module 0 (Linear): argument \"3\" is unknown, expected one of [in_features, out_features,"
                                + " bias, device, dtype]"),
                arguments(
                        "Linear(3, in_features=3), ReLU",
                        "module 0 (Linear): argument in_features is given twice, expected one value"),
                arguments(
                        "Linear, Linear",
                        "module 1 (Linear): tensor \"1.weight\" is F64 [5], expected one of 2" + " dimensions"),
                arguments(
                        "BatchNorm1d(3, 1e-5, 0.1), ReLU",
                        "module 0 (BatchNorm1d): tensor \"0.running_mean\" is missing, expected one of 1 dimension"
                                + " (those of a module with track_running_stats=False are not stored)" + has),
                arguments(
                        "Linear, nn.GELU(approximate='none')",
                        "module 1: type is \"GELU\", expected " + types + "put a Layer of your own in its place,"
                                + " between layers by PyTorch.linear and PyTorch.batchNorm1d"),
                arguments(
                        "Linear, LayerNorm((5,), eps=1e-05, elementwise_affine=True)",
                        "module 1: type is \"LayerNorm\", expected " + types
                                + "it normalizes within a row, and batch norm over the rows of a batch"),
                arguments(
                        "Linear, Softmax(dim=1)",
                        "module 1: type is \"Softmax\", expected " + types
                                + "leave a last one out of the text: Loss makes probabilities of the scores"),
                arguments(
                        "Linear, LazyBatchNorm1d()",
                        "module 1: type is \"LazyBatchNorm1d\", expected " + types
                                + "print the model after its first batch"),
                arguments(
                        "Linear, Conv1d(1, 2, kernel_size=(3,), stride=(1,))",
                        "module 1: type is \"Conv1d\", expected " + types
                                + "a batch is a matrix here, without channels"),
                arguments(
                        "Flatten(1, 2), Linear",
                        "module 0 (Flatten): end_dim is 2.0, expected -1, which leaves the rows of a batch as they"
                                + " are"),
                arguments(
                        "Flatten(0), Linear",
                        "module 0 (Flatten): start_dim is 0.0, expected 1, which leaves the rows of a batch as"
                                + " they are"),
                arguments(
                        "Own((fc1): Linear(3, 5), (bn1): BatchNorm1d(5))",
                        "the class of the module is \"Own\", expected " + order),
                arguments(
                        "Sequential((0): Residual((net): Linear(3, 5)), (1): ReLU())",
                        "the class of module 0 is \"Residual\", expected " + order),
                arguments(
                        "self.fc1 = Linear(3, 5)\nself.bn1 = BatchNorm1d(5)",
                        "module 0 is \"0 self.fc1=Linear\", expected a module of a Sequential" + way),
                arguments(
                        "(fc1): Linear(3, 5)\n(bn1): BatchNorm1d(5)",
                        "the class of the module is without a name, expected " + order),
                arguments("LogReg((linear): Linear(3, 5))", "the class of the module is \"LogReg\", expected " + order),
                arguments(
                        "Sequential(OrderedDict([(\"0\", Linear(3, 5))], relu=ReLU()))",
                        "module 0: type is \"OrderedDict\", expected " + types + "put a Layer of your own in its place,"
                                + " between layers by PyTorch.linear and PyTorch.batchNorm1d"),
                arguments(
                        "nn.quantized.Linear(3, 5), ReLU()",
                        "module 0: type is \"quantized.Linear\", expected " + types + "put a Layer of your own in its"
                                + " place, between layers by PyTorch.linear and PyTorch.batchNorm1d"),
                arguments(
                        "Sequential((0): Linear(3, 5), (1): ReLU(), (0): Linear(3, 5))",
                        "module 0 occurs twice, expected once"),
                arguments(
                        "a\u0007: Linear, ReLU",
                        "the text of the modules is \": Linear, ReLU\" in line 1, expected " + separator),
                arguments("Linear ReLU", "the text of the modules is \"ReLU\" in line 1, expected " + separator),
                arguments(
                        "Linear,\n ReLU(",
                        "the text of the modules is at its end in line 2, expected a module or an argument" + way),
                arguments(
                        "Linear, ReLU(]",
                        "the text of the modules is \"]\" in line 1, expected a module or an argument" + way),
                arguments(
                        "Linear(3, 5).share()",
                        "the text of the modules is \".share()\" in line 1, expected one of [.double, .float, .half,"
                                + " .bfloat16, .to, .cpu, .cuda, .eval, .train]" + way),
                arguments(
                        "Linear('3",
                        "the text of the modules is \"'3\" in line 1, expected a string with an end" + way),
                arguments("Linear, ReLU", "tensor \"1.num_batches_tracked\"" + left),
                arguments(norm + "ReLU", "tensor \"5.num_batches_tracked\"" + left),
                arguments(norm + "BatchNorm1d(4, 1e-5, 0.1, bias=False)", "tensor \"5.bias\"" + left));
    }

    @ParameterizedTest
    @MethodSource("refusedModules")
    void network_modulesThatDoNotFit_refusedByName(String modules, String reason) throws IOException {
        Safetensors file = file("sequential");
        assertThatThrownBy(() -> PyTorch.network(file, modules))
                .isExactlyInstanceOf(IllegalArgumentException.class)
                .hasMessage("PyTorch.network: " + reason);
    }

    @ParameterizedTest
    @ValueSource(strings = {"1.running_mean", "1.running_var", "0.weight"})
    void network_missingTensor_refusedByName(String name) throws IOException {
        Safetensors file = changed(name, null);
        assertThatThrownBy(() -> PyTorch.network(file, SEQUENTIAL))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageStartingWith("PyTorch.network: module ")
                .hasMessageContaining(": tensor \"" + name + "\" is missing, expected one of ")
                .hasMessageContaining("; the file has ");
    }

    @Test
    void network_batchNormWithBiasOnly_refused() throws IOException {
        Safetensors file = changed("1.weight", null);
        assertThatThrownBy(() -> PyTorch.network(file, SEQUENTIAL))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageStartingWith("PyTorch.network: module 1 (BatchNorm1d): tensor \"1.weight\" is missing,"
                        + " expected one of 1 dimension (or affine=False in the text); the file has ");
    }

    @Test
    void network_notAffineButWithBias_refused() throws IOException {
        Safetensors file = changed("1.weight", null);
        String text = SEQUENTIAL.replace("momentum=0.3", "momentum=0.3, affine=False");
        assertThatThrownBy(() -> PyTorch.network(file, text))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageStartingWith("PyTorch.network: tensor \"1.bias\" is left over, expected ");
    }

    @Test
    void network_batchNormWithoutBias_hasZeroBeta() throws IOException {
        Network network = PyTorch.network(changed("1.bias", null), SEQUENTIAL);
        assertThat(network.state().get("1.beta")).isEqualTo(Matrix.zeros(1, 5));
    }

    @Test
    void network_rowsInTwoDimensions_accepted() throws IOException {
        Safetensors file = file("sequential");
        Map<String, StoredTensor> tensors = new HashMap<>();
        file.tensors().forEach((name, tensor) -> {
            Matrix matrix = tensor.matrix();
            tensors.put(name, Safetensors.stored(matrix, matrix.rows(), matrix.columns()));
        });
        Network network = PyTorch.network(Safetensors.of(tensors, Map.of()), SEQUENTIAL);
        assertThat(network.state()).isEqualTo(PyTorch.network(file, SEQUENTIAL).state());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "DataParallel((module): Linear(3, 2)) | module.",
                "OptimizedModule((_orig_mod): Net((net): Sequential((0): Linear(3, 2)))) | _orig_mod.net.0.",
                "Outer((inner): Net((net): Sequential((0): Linear(3, 2)))) | inner.net.0."
            })
    void network_classAroundOneModule_namesBeginWithItsKeys(String text, String prefix) {
        Matrix weight = Matrices.uniform(2, 3, 1);
        Map<String, StoredTensor> tensors = Map.of(
                prefix + "weight",
                Safetensors.stored(weight, 2, 3),
                prefix + "bias",
                Safetensors.stored(Matrix.ofRow(1, 2), 2),
                "of no layer.weight",
                Safetensors.stored(Matrix.ofRow(1, 2), 2, 1, 1));
        Network network = PyTorch.network(Safetensors.of(tensors, Map.of()), text);
        assertThat(network.infer(Matrix.ofRow(0, 0, 0))).isEqualTo(Matrix.ofRow(1, 2));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "0 | none",
                "1 | \"a\"",
                "8 | \"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\"",
                "9 | \"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", … (9)"
            })
    void network_missingTensor_refusalNamesThoseThatAreThere(int count, String names) {
        Map<String, Matrix> tensors = new HashMap<>();
        for (char name = 'a'; name < 'a' + count; name++) {
            tensors.put(String.valueOf(name), Matrix.ofRow(1));
        }
        assertThatThrownBy(() -> PyTorch.network(Safetensors.of(tensors), "Linear"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("PyTorch.network: the module (Linear): tensor \"weight\" is missing,"
                        + " expected one of 2 dimensions; the file has " + names);
    }

    @Test
    void network_tensorOfAnotherShape_refused() throws IOException {
        Map<String, StoredTensor> tensors = new HashMap<>();
        file("sequential").tensors().forEach((name, tensor) -> {
            Integer[] shape = tensor.shape().toArray(Integer[]::new);
            tensors.put(name, Safetensors.stored(tensor.matrix(), shape));
        });
        tensors.put("1.running_mean", Safetensors.stored(Matrix.zeros(5, 1), 5, 1));
        Safetensors file = Safetensors.of(tensors, Map.of());
        assertThatThrownBy(() -> PyTorch.network(file, SEQUENTIAL))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageStartingWith("PyTorch.network: module 1 (BatchNorm1d): tensor \"1.running_mean\" is"
                        + " F64 [5, 1], expected one of 1 dimension");
    }

    @Test
    void network_tensorWithoutAModulesName_isOfTheOneWithout() {
        Safetensors file = Safetensors.of(Map.of("weight", Matrix.zeros(2, 3), ".x", Matrix.zeros(1, 1)));
        assertThatThrownBy(() -> PyTorch.network(file, "Linear(3, 2, bias=False)"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageStartingWith("PyTorch.network: tensor \".x\" is left over, expected ");
    }

    @Test
    void network_negativeVariance_refusedByName() throws IOException {
        Safetensors file = changed("1.running_var", Matrix.ofRow(1, 1, -1, 1, 1));
        assertThatThrownBy(() -> PyTorch.network(file, SEQUENTIAL))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("PyTorch.network: module 1 (BatchNorm1d): BatchNorm.restore: runningVariance[0,2] is -1.0,"
                        + " expected at least 0");
    }

    @Test
    void network_tensorOfAnotherLength_refusedByName() throws IOException {
        Safetensors file = changed("1.running_mean", Matrix.ofRow(1, 1));
        assertThatThrownBy(() -> PyTorch.network(file, SEQUENTIAL))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage(
                        "PyTorch.network: module 1 (BatchNorm1d): num_features is 5, expected 2, as its tensors have");
    }

    /** The reference with one row replaced, or missing if it is null. */
    private static Safetensors changed(String name, Matrix row) throws IOException {
        Map<String, StoredTensor> tensors = new HashMap<>();
        file("sequential").tensors().forEach((key, tensor) -> {
            Integer[] shape = tensor.shape().toArray(Integer[]::new);
            tensors.put(key, Safetensors.stored(tensor.matrix(), shape));
        });
        tensors.remove(name);
        if (row != null) {
            tensors.put(name, Safetensors.stored(row, row.columns()));
        }
        return Safetensors.of(tensors, Map.of());
    }

    @Test
    void network_modulesWithMistakes_refusedOrUnderstood() throws IOException {
        int count = 20_000;
        assertThat(Fuzz.run("modules", count, 1).accepted()).isBetween(count / 20, count / 2); // both ways are gone
    }

    @Test
    void network_pathOfModuleTooLong_refused() {
        Safetensors file = Safetensors.of(Map.of());
        String text = "Sequential((%s): Sequential(ReLU()))";
        assertThat(PyTorch.network(file, text.formatted("a".repeat(254))).layers())
                .hasSize(1);
        assertThatThrownBy(() -> PyTorch.network(file, text.formatted("a".repeat(255))))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("PyTorch.network: the path of a module is \"" + "a".repeat(80)
                        + "…\", expected one of at most 256 characters");
    }

    @Test
    void network_tensorOfModuleWithTheLongestPath_leftOver() {
        String module = "a".repeat(254);
        Safetensors file = Safetensors.of(Map.of(module + ".0.scale", Matrix.ofRow(1)));
        assertThatThrownBy(() -> PyTorch.network(file, "Sequential((" + module + "): Sequential(ReLU()))"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("left over");
    }

    /** Many modules, each with the longest path, and a name that could begin with the path of a module at each dot. */
    @Test
    void network_longestPathsAndName_staysWithinTheMemoryBound() {
        String text = "Sequential((%s): Sequential(%s))".formatted("a".repeat(250), "ReLU,".repeat(9_999));
        String name = "x" + ".0".repeat(10_000) + ".scale";
        Safetensors file = Safetensors.of(Map.of(name, Matrix.zeros(1, 1)));
        PyTorch.network(file, text); // loads the classes

        long before = Allocation.now();
        PyTorch.network(file, text);
        assertThat(Allocation.now() - before).isLessThanOrEqualTo(ModulesFuzz.bound(text));
    }

    @Test
    void network_longTextThatIsNoList_refusedAtOnce() {
        Safetensors file = Safetensors.of(Map.of());
        for (String part : List.of("(", ")", " ", "\n", "a", "(0): ", "a(", "a,", "0", "Sequential(")) {
            String text = part.repeat(200_000) + "!";
            assertThatThrownBy(() -> PyTorch.network(file, text))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageStartingWith("PyTorch.network: ")
                    .hasMessageMatching("(?s).{0,500}");
        }
    }
}
