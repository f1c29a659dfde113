package io.github.backnorm;

import io.github.backnorm.internal.safetensors.ElementType;
import io.github.backnorm.internal.safetensors.FormatFault;
import io.github.backnorm.internal.safetensors.StoredTensor;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Networks in the layout of PyTorch: the state dict of a {@code torch.nn.Sequential} of {@code Linear}, {@code
 * BatchNorm1d} and {@code ReLU}.
 *
 * <table>
 * <caption>The tensors of module i; D inputs, L outputs or features</caption>
 * <tr><th>here</th><th>there</th><th>shape there</th></tr>
 * <tr><td>{@code Affine} weight, D×L</td><td>{@code i.weight}, transposed</td><td>[L, D]</td></tr>
 * <tr><td>{@code Affine} bias</td><td>{@code i.bias}</td><td>[L]</td></tr>
 * <tr><td>{@code BatchNorm} gamma, beta</td><td>{@code i.weight}, {@code i.bias}</td><td>[L]</td></tr>
 * <tr><td>{@code BatchNorm} running statistics</td><td>{@code i.running_mean, i.running_var}</td><td>[L]</td></tr>
 * <tr><td>nothing</td><td>{@code i.num_batches_tracked}, an I64</td><td>[]</td></tr>
 * </table>
 *
 * <p>The tensors do not say which modules a model has: {@code ReLU} and others have no tensors, and ε and momentum are
 * not stored as tensors. Nothing is guessed: a text lists the modules, as metadata entry {@value #MODULES} of the file
 * or as an argument. It has the form of {@code print(model)} or of the constructor calls in Python:
 * <pre>{@code
 * Linear(64, 100), BatchNorm1d(100, eps=0.00001, momentum=0.1), ReLU(), Linear(100, 10)
 * }</pre>
 * {@code eps} and {@code momentum} are required, sizes are optional.
 *
 * <p>A network that {@code PyTorch.stateDict(network).writeTo(file)} wrote is loaded in Python by
 * <pre>{@code
 * model = nn.Sequential(nn.Linear(64, 100), nn.BatchNorm1d(100), nn.ReLU(), nn.Linear(100, 10)).double()
 * model.load_state_dict(safetensors.torch.load_file("network.safetensors"), strict=True)
 * logits = model.eval()(x)
 * }</pre>
 * where a batch norm whose ε is not 1e-5 gets it as {@code eps}. A file for {@link #network(Safetensors)} is written by
 * <pre>{@code
 * safetensors.torch.save_file(model.state_dict(), "network.safetensors", metadata={"modules": str(model)})
 * }</pre>
 *
 * <p>Numerical behavior: values are transferred exactly in both directions. {@code num_batches_tracked} is written as 0
 * and ignored when read: it has no counterpart here, and PyTorch does not use it when it has a momentum.
 */
public final class PyTorch {
    private static final String MODULES = "modules";
    private static final String LINEAR = "Linear";
    private static final String BATCH_NORM = "BatchNorm1d";
    private static final String RELU = "ReLU";

    /** The arguments of the modules' constructors in PyTorch's order; those that are always named come last. */
    private static final Map<String, List<String>> ARGUMENTS = Map.of(
            LINEAR, List.of("in_features", "out_features", "bias"),
            BATCH_NORM, List.of("num_features", "eps", "momentum", "affine", "track_running_stats", "bias"),
            RELU, List.of("inplace"));

    private static final Pattern SEQUENTIAL =
            Pattern.compile("\\s*(?:torch\\.)?(?:nn\\.)?Sequential\\((.*)\\)\\s*", Pattern.DOTALL);

    /** A module of a list: its index, if the list is printed, its name and its arguments. */
    private static final Pattern MODULE = Pattern.compile("\\s*(?:\\((\\d+)\\):\\s*)?(?:torch\\.)?(?:nn\\.)?"
            + "([A-Za-z_]\\w*)(?:\\(([^()]*)\\))?[ \\t\\r]*(?:,|\\n|$)\\s*");

    private PyTorch() {}

    /**
     * {@return the state dict of the network, as F64 tensors, with the modules as a metadata entry} For single
     * precision see {@link Safetensors#asFloat32}.
     *
     * @param network a network of {@code Affine}, {@code BatchNorm} and {@code ReLU} layers
     * @throws IllegalArgumentException if it has a layer of another type
     */
    public static Safetensors stateDict(Network network) {
        String where = "PyTorch.stateDict";
        List<Layer> layers = Checks.requireNonNull(network, where, "network").layers();
        Map<String, StoredTensor> tensors = new LinkedHashMap<>();
        List<String> modules = new ArrayList<>();
        for (int i = 0; i < layers.size(); i++) {
            Layer layer = layers.get(i);
            Map<String, Matrix> state = layer.state();
            if (layer instanceof Affine affine) {
                Matrix weight = state.get("weight").transpose();
                tensors.put(i + ".weight", Safetensors.stored(weight, weight.rows(), weight.columns()));
                tensors.put(i + ".bias", row(state.get("bias")));
                modules.add(LINEAR + "(" + affine.inputs() + ", " + affine.outputs() + ")");
            } else if (layer instanceof BatchNorm batchNorm) {
                tensors.put(i + ".weight", row(state.get("gamma")));
                tensors.put(i + ".bias", row(state.get("beta")));
                tensors.put(i + ".running_mean", row(state.get("runningMean")));
                tensors.put(i + ".running_var", row(state.get("runningVariance")));
                tensors.put(i + ".num_batches_tracked", new StoredTensor(ElementType.I64, List.of(), new double[1]));
                modules.add(BATCH_NORM + "(" + batchNorm.features() + ", eps=" + digits(batchNorm.epsilon())
                        + ", momentum=" + digits(batchNorm.momentum()) + ")");
            } else if (layer instanceof ReLU) {
                modules.add(RELU + "()");
            } else {
                throw Checks.refusal(where, Checks.place(i, layer), "of another type", "Affine, BatchNorm or ReLU");
            }
        }
        return Safetensors.of(tensors, Map.of(MODULES, String.join(", ", modules)));
    }

    private static StoredTensor row(Matrix row) {
        return Safetensors.stored(row, row.columns());
    }

    /** The fewest digits that identify the number. Those of {@link Double#toString} depend on the JDK. */
    private static String digits(double value) {
        BigDecimal exact = new BigDecimal(value);
        int precision = 1;
        while (exact.round(new MathContext(precision)).doubleValue() != value) {
            precision++;
        }
        return exact.round(new MathContext(precision)).toString();
    }

    /**
     * {@return a network of the modules that the file lists, with their parameters and running statistics}
     *
     * @param file a state dict with metadata entry {@value #MODULES}
     * @throws IllegalArgumentException if the file has no such entry, or for a reason that {@link
     *     #network(Safetensors, String)} gives
     */
    public static Network network(Safetensors file) {
        String modules = Checks.requireNonNull(file, "PyTorch.network", "file")
                .metadata()
                .get(MODULES);
        if (modules == null) {
            throw Checks.refusal(
                    "PyTorch.network",
                    "metadata entry " + MODULES,
                    "missing",
                    "the modules as print(model) shows them; pass them as an argument");
        }
        return network(file, modules);
    }

    /**
     * {@return a network of the given modules, with their parameters and running statistics from the file} A {@code
     * Linear} with {@code bias=False} becomes an {@code Affine} with zero bias.
     *
     * @param file a state dict; its own metadata entry {@value #MODULES}, if any, is ignored
     * @param modules the modules, as {@code print(model)} or constructor calls in Python show them
     * @throws IllegalArgumentException if the text has another form; if there is a module other than {@code Linear},
     *     {@code BatchNorm1d} and {@code ReLU}; if a batch norm is without ε or momentum or has {@code affine=False} or
     *     {@code track_running_stats=False}; if a tensor is missing, has another shape than the modules say or belongs
     *     to none of them; or if a running statistic is not finite or a variance is negative
     */
    public static Network network(Safetensors file, String modules) {
        Checks.requireNonNull(file, "PyTorch.network", "file");
        Checks.requireNonNull(modules, "PyTorch.network", "modules");
        Map<String, Safetensors.Tensor> tensors = new LinkedHashMap<>(file.tensors());
        Matcher sequential = SEQUENTIAL.matcher(modules);
        String list = (sequential.matches() ? sequential.group(1) : modules).strip();
        List<Layer> layers = new ArrayList<>();
        Matcher matcher = MODULE.matcher(list);
        for (int end = 0; end < list.length(); end = matcher.end()) {
            if (!matcher.region(end, list.length()).lookingAt()) {
                throw Checks.refusal(
                        "PyTorch.network",
                        "module " + layers.size(),
                        FormatFault.quoted(list.substring(end)),
                        "a name, with arguments in parentheses or without, as one Sequential of unnamed modules"
                                + " prints them");
            }
            layers.add(new Module(layers.size(), matcher, tensors).layer());
        }
        if (!tensors.isEmpty()) {
            throw Checks.refusal(
                    "PyTorch.network",
                    "tensor " + FormatFault.quoted(tensors.keySet().iterator().next()),
                    "left over",
                    "tensors of the " + layers.size() + " modules only");
        }
        return new Network(layers.toArray(Layer[]::new));
    }

    /** A module of the list. It removes its tensors from those of the file, so that what remains belongs to none. */
    private static final class Module {
        private final String prefix;
        private final String name;
        private final String where;
        private final Map<String, String> arguments = new LinkedHashMap<>();
        private final Map<String, Safetensors.Tensor> tensors;

        Module(int index, Matcher matcher, Map<String, Safetensors.Tensor> tensors) {
            this.prefix = index + ".";
            this.name = matcher.group(2);
            this.where = "PyTorch.network: module " + index;
            this.tensors = tensors;
            String printed = matcher.group(1);
            if (printed != null && !printed.equals(String.valueOf(index))) {
                throw Checks.refusal(where, "index", FormatFault.quoted(printed), String.valueOf(index));
            }
            List<String> known = ARGUMENTS.get(name);
            if (known == null) {
                throw Checks.refusal(
                        where,
                        "type",
                        FormatFault.quoted(name),
                        "Linear, BatchNorm1d or ReLU; a Dropout or Identity has to be left out before saving");
            }
            String list = matcher.group(3);
            if (list != null && !list.isBlank()) {
                readArguments(list.split(",", -1), known);
            }
        }

        private void readArguments(String[] list, List<String> known) {
            for (int i = 0; i < list.length; i++) {
                String[] parts = list[i].split("=", 2);
                String value = parts[parts.length - 1].strip();
                String key = parts.length == 2 ? parts[0].strip() : i < known.size() ? known.get(i) : "";
                if (!known.contains(key) || arguments.put(key, value) != null) {
                    throw refusal("argument " + FormatFault.quoted(list[i].strip()), "unexpected", "one of " + known);
                }
            }
        }

        private IllegalArgumentException refusal(String what, Object actual, String expected) {
            return Checks.refusal(where + " (" + name + ")", what, actual, expected);
        }

        Layer layer() {
            try {
                return switch (name) {
                    case LINEAR -> affine();
                    case BATCH_NORM -> batchNorm();
                    default -> new ReLU();
                };
            } catch (IllegalArgumentException refusal) {
                if (refusal.getMessage().startsWith(where)) {
                    throw refusal;
                }
                throw new IllegalArgumentException(where + " (" + name + "): " + refusal.getMessage(), refusal);
            }
        }

        private Affine affine() {
            Matrix weight = take("weight", 2, "").transpose();
            requireSize("in_features", weight.rows());
            requireSize("out_features", weight.columns());
            return new Affine(weight, bias(weight.columns()));
        }

        private BatchNorm batchNorm() {
            String affine = "; BatchNorm does not support affine=False";
            String tracked = "; BatchNorm does not support track_running_stats=False";
            if (!flag("affine", true)) {
                throw refusal("affine", "False", "True" + affine);
            }
            if (!flag("track_running_stats", true)) {
                throw refusal("track_running_stats", "False", "True" + tracked);
            }
            Matrix gamma = take("weight", 1, affine);
            requireSize("num_features", gamma.columns());
            BatchNorm layer = new BatchNorm(gamma.columns(), number("eps"), number("momentum"));
            layer.restore(Map.of(
                    "gamma",
                    gamma,
                    "beta",
                    bias(gamma.columns()),
                    "runningMean",
                    take("running_mean", 1, tracked),
                    "runningVariance",
                    take("running_var", 1, tracked)));
            tensors.remove(prefix + "num_batches_tracked");
            return layer;
        }

        /** The bias; zeros if there is none. */
        private Matrix bias(int size) {
            return flag("bias", tensors.containsKey(prefix + "bias")) ? take("bias", 1, "") : Matrix.zeros(1, size);
        }

        private Matrix take(String what, int rank, String note) {
            Safetensors.Tensor tensor = tensors.remove(prefix + what);
            if (tensor == null || tensor.shape().size() != rank) {
                throw refusal(
                        "tensor " + prefix + what, tensor == null ? "missing" : tensor, "one of rank " + rank + note);
            }
            return tensor.matrix();
        }

        private void requireSize(String argument, int size) {
            String given = arguments.get(argument);
            if (given != null && !given.equals(String.valueOf(size))) {
                throw refusal(argument, FormatFault.quoted(given), size + ", as the weight has");
            }
        }

        private boolean flag(String argument, boolean ifNotGiven) {
            String given = arguments.getOrDefault(argument, ifNotGiven ? "True" : "False");
            if (!given.equals("True") && !given.equals("False")) {
                throw refusal(argument, FormatFault.quoted(given), "True or False");
            }
            return given.equals("True");
        }

        private double number(String argument) {
            String given = arguments.get(argument);
            try {
                if (given != null) {
                    return Double.parseDouble(given);
                }
            } catch (NumberFormatException notANumber) {
                throw refusal(argument, FormatFault.quoted(given), "a number");
            }
            throw refusal(argument, "missing", "a number, for it is not in the tensors");
        }
    }
}
