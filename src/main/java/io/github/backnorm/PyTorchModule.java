package io.github.backnorm;

import io.github.backnorm.internal.pytorch.ModuleText.Part;
import io.github.backnorm.internal.safetensors.ElementType;
import io.github.backnorm.internal.safetensors.FormatFault;
import io.github.backnorm.internal.safetensors.StoredTensor;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A module of PyTorch that a text shows: its path in the model, its type and its arguments. It makes a layer of its
 * tensors, and tensors of its layer.
 */
final class PyTorchModule {
    private static final String LINEAR = "Linear";
    private static final String BATCH_NORM = "BatchNorm1d";
    private static final String SYNC_BATCH_NORM = "SyncBatchNorm";
    private static final String RELU = "ReLU";
    private static final String FLATTEN = "Flatten";
    private static final String IDENTITY = "Identity";

    private static final List<String> OF_BATCH_NORM = List.of(
            "num_features",
            "eps",
            "momentum",
            "affine",
            "track_running_stats",
            "process_group",
            "device",
            "dtype",
            "bias");
    private static final List<String> OF_DROPOUT = List.of("p", "inplace");

    /** The arguments of the modules' constructors in PyTorch's order; those that are always named come last. */
    private static final Map<String, List<String>> ARGUMENTS = Map.ofEntries(
            Map.entry(LINEAR, List.of("in_features", "out_features", "bias", "device", "dtype")),
            Map.entry(BATCH_NORM, OF_BATCH_NORM),
            Map.entry(SYNC_BATCH_NORM, OF_BATCH_NORM),
            Map.entry(RELU, List.of("inplace")),
            Map.entry("Dropout", OF_DROPOUT),
            Map.entry("Dropout1d", OF_DROPOUT),
            Map.entry("AlphaDropout", OF_DROPOUT),
            Map.entry(FLATTEN, List.of("start_dim", "end_dim")),
            Map.entry(IDENTITY, List.of())); // takes any and ignores them

    private static final String WEIGHT = "weight";
    private static final String BIAS = "bias";
    private static final String RUNNING_MEAN = "running_mean";
    private static final String RUNNING_VARIANCE = "running_var";
    private static final String COUNT = "num_batches_tracked";

    private final String path;
    private final String type;
    private final String where;
    private final Map<String, String> arguments = new LinkedHashMap<>();

    /** The module that a part of a text shows; {@code method} is the method that reads the text. */
    PyTorchModule(String path, Part part, String method) {
        this.path = path;
        this.type = part.type();
        this.where = method + ": " + place(path) + " (" + type + ")";
        List<String> known = ARGUMENTS.get(type);
        if (known == null) {
            throw Checks.refusal(
                    method + ": " + place(path),
                    "type",
                    FormatFault.quoted(type),
                    "Linear, BatchNorm1d, SyncBatchNorm, ReLU, or Dropout, Identity, Flatten, which are skipped; "
                            + advice(type));
        }
        if (!type.equals(IDENTITY)) {
            readArguments(part.parts(), known);
        }
        if (type.equals(FLATTEN)) {
            requireDimension("start_dim", 1);
            requireDimension("end_dim", -1);
        }
        if (!flag("track_running_stats", true)) {
            throw refusal(
                    "track_running_stats",
                    "False",
                    "True; without running statistics a row's result depends on the other rows");
        }
    }

    static String place(String path) {
        return path.isEmpty() ? "the module" : "module " + path;
    }

    private static String advice(String type) {
        return switch (type) {
            case "Softmax", "LogSoftmax", "Sigmoid" ->
                "leave a last one out of the text: Loss makes probabilities of the scores";
            case "LayerNorm", "RMSNorm", "GroupNorm", "InstanceNorm1d" ->
                "it normalizes within a row, and batch norm over the rows of a batch";
            case "LazyLinear", "LazyBatchNorm1d" -> "print the model after its first batch";
            case "Conv1d", "Conv2d", "BatchNorm2d", "BatchNorm3d" -> "a batch is a matrix here, without channels";
            default -> "put a Layer of your own in its place, between layers by PyTorch.linear and PyTorch.batchNorm1d";
        };
    }

    private void readArguments(List<Part> parts, List<String> known) {
        for (int i = 0; i < parts.size(); i++) {
            Part part = parts.get(i);
            String name = part.name().isEmpty() && i < known.size() ? known.get(i) : part.name();
            if (!known.contains(name)) {
                String shown = part.name().isEmpty() ? part.word() : name;
                throw refusal("argument " + FormatFault.quoted(shown), "unknown", "one of " + known);
            }
            if (arguments.put(name, part.word()) != null) {
                throw refusal("argument " + name, "given twice", "one value");
            }
        }
    }

    private IllegalArgumentException refusal(String what, Object actual, String expected) {
        return Checks.refusal(where, what, actual, expected);
    }

    private String name(String tensor) {
        return path.isEmpty() ? tensor : path + "." + tensor;
    }

    /** Whether there is a layer for the module; one without does nothing in inference. */
    boolean isLayer() {
        return isLinear() || isBatchNorm() || type.equals(RELU);
    }

    private boolean isLinear() {
        return type.equals(LINEAR);
    }

    private boolean isBatchNorm() {
        return type.equals(BATCH_NORM) || type.equals(SYNC_BATCH_NORM);
    }

    /** The tensors by which the module is found in a file. */
    List<String> required() {
        return isLinear() ? List.of(name(WEIGHT)) : isBatchNorm() ? List.of(name(RUNNING_MEAN)) : List.of();
    }

    /** The layer with the module's tensors; none if it does nothing in inference. */
    Optional<Layer> layer(PyTorchTensors tensors) {
        try {
            if (isLinear()) {
                return Optional.of(affine(tensors));
            }
            if (isBatchNorm()) {
                return Optional.of(batchNorm(tensors));
            }
            return isLayer() ? Optional.of(new ReLU()) : Optional.empty();
        } catch (IllegalArgumentException refusal) {
            if (refusal.getMessage().startsWith(where)) {
                throw refusal;
            }
            throw new IllegalArgumentException(where + ": " + refusal.getMessage(), refusal);
        }
    }

    private Affine affine(PyTorchTensors tensors) {
        Matrix weight = tensors.matrix(name(WEIGHT), where).transpose();
        requireSize("in_features", weight.rows());
        requireSize("out_features", weight.columns());
        if (flag(BIAS, tensors.has(name(BIAS)))) {
            return new Affine(weight, tensors.vector(name(BIAS), where, ""));
        }
        return new Affine(weight, Matrix.zeros(1, weight.columns())).withoutBias();
    }

    private BatchNorm batchNorm(PyTorchTensors tensors) {
        String note = " (those of a module with track_running_stats=False are not stored)";
        Matrix mean = tensors.vector(name(RUNNING_MEAN), where, note);
        Matrix variance = tensors.vector(name(RUNNING_VARIANCE), where, note);
        int features = mean.columns();
        requireSize("num_features", features);
        boolean affine = flag("affine", tensors.has(name(WEIGHT)) || tensors.has(name(BIAS)));
        Matrix gamma = affine
                ? tensors.vector(name(WEIGHT), where, " (or affine=False in the text)")
                : Matrix.filled(1, features, 1);
        Matrix beta = affine && flag(BIAS, tensors.has(name(BIAS)))
                ? tensors.vector(name(BIAS), where, "")
                : Matrix.zeros(1, features);
        tensors.ignore(name(COUNT));
        BatchNorm layer = new BatchNorm(features, epsilon(), momentum());
        layer.restore(Map.of("gamma", gamma, "beta", beta, "runningMean", mean, "runningVariance", variance));
        return layer;
    }

    private double epsilon() {
        return number("eps", 1e-5);
    }

    private double momentum() {
        if (!hasMomentum()) {
            throw refusal(
                    "momentum",
                    "None",
                    "a number; choose one, as in text.replace(\"momentum=None\", \"momentum=0.1\"): it has no effect on"
                            + " inference, and with None PyTorch averages over all batches");
        }
        return number("momentum", 0.1);
    }

    private boolean hasMomentum() {
        return !"None".equals(arguments.get("momentum"));
    }

    private void requireDimension(String argument, int whereRowsStay) {
        double given = number(argument, whereRowsStay);
        if (given != whereRowsStay) {
            throw refusal(argument, given, whereRowsStay + ", which leaves the rows of a batch as they are");
        }
    }

    private void requireSize(String argument, int size) {
        String given = arguments.get(argument);
        if (given != null && given.matches("\\d+") && !given.equals(String.valueOf(size))) { // not a variable
            throw refusal(argument, given, size + ", as its tensors have");
        }
    }

    private boolean flag(String argument, boolean ifNotGiven) {
        String given = arguments.getOrDefault(argument, ifNotGiven ? "True" : "False");
        return switch (given) {
            case "True", "true" -> true;
            case "False", "false" -> false;
            default -> throw refusal(argument, FormatFault.quoted(given), "True or False");
        };
    }

    private double number(String argument, double ifNotGiven) {
        String given = arguments.get(argument);
        if (given == null) {
            return ifNotGiven;
        }
        try {
            return Double.parseDouble(given);
        } catch (NumberFormatException notANumber) {
            throw refusal(argument, FormatFault.quoted(given), "a number");
        }
    }

    /** Adds the tensors of the module's layer; their names begin with the prefix. */
    void addTensors(Layer layer, String prefix, Map<String, StoredTensor> tensors) {
        String names = prefix + name("");
        if (isLinear() && layer instanceof Affine affine) {
            Matrix weight = affine.weight().value().transpose();
            requireSize("in_features", affine.inputs());
            requireSize("out_features", affine.outputs());
            requireSame("having a bias", affine.hasBias(), flag(BIAS, affine.hasBias()));
            tensors.put(names + WEIGHT, Safetensors.stored(weight, weight.rows(), weight.columns()));
            if (affine.hasBias()) {
                tensors.put(names + BIAS, vector(affine.bias().value()));
            }
        } else if (isBatchNorm() && layer instanceof BatchNorm norm) {
            requireSize("num_features", norm.features());
            requireSame("epsilon", norm.epsilon(), epsilon());
            requireSame("momentum", norm.momentum(), hasMomentum() ? momentum() : norm.momentum());
            addLearned(WEIGHT, flag("affine", true), norm.gamma().value(), 1, names, tensors);
            addLearned(
                    BIAS, flag("affine", true) && flag(BIAS, true), norm.beta().value(), 0, names, tensors);
            tensors.put(names + RUNNING_MEAN, vector(norm.runningMean()));
            tensors.put(names + RUNNING_VARIANCE, vector(norm.runningVariance()));
            tensors.put(names + COUNT, new StoredTensor(ElementType.I64, List.of(), new double[1]));
        } else if (!type.equals(RELU) || !(layer instanceof ReLU)) {
            throw refusal("the layer", layer, "one of the module's type");
        }
    }

    /** Adds γ or β. A module that has none computes as with a row of {@code without}, so the row must be that. */
    private void addLearned(
            String name, boolean has, Matrix row, double without, String names, Map<String, StoredTensor> tensors) {
        if (has) {
            tensors.put(names + name, vector(row));
        } else if (!row.equals(Matrix.filled(1, row.columns(), without))) {
            throw refusal(name, row, "all " + without + ", for the module of the text has none");
        }
    }

    private void requireSame(String what, Object ofLayer, Object ofModule) {
        if (!ofLayer.equals(ofModule)) {
            throw refusal(what, ofLayer, ofModule + ", as in the text");
        }
    }

    private static StoredTensor vector(Matrix row) {
        return Safetensors.stored(row, row.columns());
    }

    /** The module that computes what a layer does, as a text; empty if there is none. */
    static Optional<String> text(Layer layer) {
        if (layer instanceof Affine affine) {
            String bias = affine.hasBias() ? "" : ", bias=False";
            return Optional.of(LINEAR + "(" + affine.inputs() + ", " + affine.outputs() + bias + ")");
        }
        if (layer instanceof BatchNorm norm) {
            String constants = ", eps=" + digits(norm.epsilon()) + ", momentum=" + digits(norm.momentum());
            return Optional.of(BATCH_NORM + "(" + norm.features() + constants + ")");
        }
        return layer instanceof ReLU ? Optional.of(RELU + "()") : Optional.empty();
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
}
