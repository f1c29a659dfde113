package io.github.backnorm;

import io.github.backnorm.internal.pytorch.ModuleText;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Networks in the layout of PyTorch: the state dict of a model of {@code Linear}, {@code BatchNorm1d} and {@code ReLU}.
 *
 * <table>
 * <caption>The tensors of module i; D inputs, L outputs or features</caption>
 * <tr><th>here</th><th>there</th><th>shape there</th></tr>
 * <tr><td>{@code Affine} weight, D×L</td><td>{@code i.weight}, transposed</td><td>[L, D]</td></tr>
 * <tr><td>{@code Affine} bias, if it has one</td><td>{@code i.bias}</td><td>[L]</td></tr>
 * <tr><td>{@code BatchNorm} gamma, beta</td><td>{@code i.weight}, {@code i.bias}</td><td>[L]</td></tr>
 * <tr><td>{@code BatchNorm} running statistics</td><td>{@code i.running_mean, i.running_var}</td><td>[L]</td></tr>
 * <tr><td>nothing</td><td>{@code i.num_batches_tracked}, an I64</td><td>[]</td></tr>
 * </table>
 *
 * <p>A file comes from Python by
 * <pre>{@code
 * safetensors.torch.save_file(model.state_dict(), "model.safetensors", metadata={"modules": str(model)})
 * }</pre>
 * The tensors do not say which modules a model has: {@code ReLU} and others have no tensors, and ε and momentum are not
 * stored as tensors. Nothing is guessed: a text lists the modules, as metadata entry {@value #MODULES} of the file or
 * as an argument. It is what {@code print(model)} shows, in Python or C++, or the expression in Python that makes the
 * model:
 * <pre>{@code
 * nn.Sequential(nn.Linear(64, 100), nn.BatchNorm1d(100), nn.ReLU(), nn.Linear(100, 10))
 * }</pre>
 * Where it is silent, PyTorch's defaults hold: {@code eps=1e-05, momentum=0.1}. Sizes, and whether there is a bias, are
 * the file's. A {@code Sequential} in another is taken as its modules. {@code SyncBatchNorm} becomes a {@code
 * BatchNorm}, {@code affine=False} one with γ = 1 and β = 0. {@code Dropout}, {@code Dropout1d}, {@code AlphaDropout},
 * {@code Identity} and {@code Flatten} are skipped, since they do nothing in inference. Any other module is refused.
 *
 * <p>The text does not show functions that {@code forward} calls, {@code torch.relu} for one. So a class of one's own
 * is refused, unless its one module is a {@code Sequential}; what else its {@code forward} does then remains unseen:
 * compare a batch with PyTorch's output. Layers of a class of one's own are read by the names of its attributes:
 * <pre>{@code
 * Network network = new Network(
 *         PyTorch.linear(file, "fc1"), PyTorch.batchNorm1d(file, "bn1"), new ReLU(), PyTorch.linear(file, "fc2"));
 * }</pre>
 *
 * <p>The names in the file may have a prefix in front, such as {@code module.}, {@code _orig_mod.} or {@code net.}; it
 * is found. Tensors of other modules outside of it are ignored, as are tensors under it that cannot belong to a module.
 *
 * <p>A network that {@code PyTorch.stateDict(network).writeTo(file)} wrote is loaded in Python by
 * <pre>{@code
 * model = nn.Sequential(nn.Linear(64, 100), nn.BatchNorm1d(100), nn.ReLU(), nn.Linear(100, 10)).double()
 * model.load_state_dict(safetensors.torch.load_file("network.safetensors"), strict=True)
 * logits = model.eval()(x)
 * }</pre>
 * where a batch norm whose ε is not 1e-5 gets it as {@code eps}, and a {@code Linear} without bias {@code bias=False}.
 * {@link #stateDict(Network, String)} writes it for the model that it came from.
 *
 * <p>Numerical behavior: values are transferred exactly in both directions. {@code num_batches_tracked} is written as 0
 * and ignored when read: it has no counterpart here, and PyTorch does not use it when it has a momentum.
 */
public final class PyTorch {
    private static final String MODULES = "modules";

    private PyTorch() {}

    /**
     * {@return the state dict of the network, as F64 tensors, for a {@code Sequential} of its layers, which a metadata
     * entry lists} The layers of networks inside are taken as the network's own. For single precision see {@link
     * Safetensors#asFloat32}.
     *
     * @param network a network of {@code Affine}, {@code BatchNorm} and {@code ReLU} layers
     * @throws IllegalArgumentException if it has a layer of another type
     */
    public static Safetensors stateDict(Network network) {
        List<Layer> layers = layers(network);
        List<String> modules = new ArrayList<>();
        for (int i = 0; i < layers.size(); i++) {
            Layer layer = layers.get(i);
            String place = Checks.place(i, layer);
            modules.add(PyTorchModule.text(layer)
                    .orElseThrow(() -> Checks.refusal(
                            "PyTorch.stateDict", place, "of another type", "Affine, BatchNorm or ReLU")));
        }
        return stateDict(network, modules.stream().collect(Collectors.joining(", ", "Sequential(", ")")));
    }

    /**
     * {@return the state dict of the network, as F64 tensors with the names of the given modules, for the model that
     * the network came from} {@code load_state_dict} of that model takes it with {@code strict=True}. An {@code
     * AveragedModel} has a count of its own, which is not written: take the text of the model inside.
     *
     * @param network a network of {@code Affine}, {@code BatchNorm} and {@code ReLU} layers
     * @param modules the modules, as for {@link #network(Safetensors, String)}; they become the metadata entry
     *     {@value #MODULES}
     * @throws IllegalArgumentException if the text is not understood; if its modules that compute something are not
     *     those of the network's layers; or if the network has values that they cannot hold: another size, ε or
     *     momentum, a bias with {@code bias=False}, or γ and β other than 1 and 0 with {@code affine=False}
     */
    public static Safetensors stateDict(Network network, String modules) {
        String where = "PyTorch.stateDict";
        List<Layer> layers = layers(network);
        Checks.requireNonNull(modules, where, MODULES);
        return Safetensors.of(new PyTorchModules(modules, where).stateDict(layers), Map.of())
                .withMetadata(MODULES, modules);
    }

    /** The layers of the network, and of those inside. */
    private static List<Layer> layers(Network network) {
        List<Layer> layers = new ArrayList<>();
        for (Layer layer :
                Checks.requireNonNull(network, "PyTorch.stateDict", "network").layers()) {
            layers.addAll(layer instanceof Network inside ? layers(inside) : List.of(layer));
        }
        return layers;
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
     * {@return a network of the given modules, with their parameters and running statistics from the file}
     *
     * <p>Time and memory grow as the text does: 64 KiB, and at most 1 KiB for each character. The modules of 100 layers
     * take about 5,000 characters; 10 MB take some seconds. So of files from outside refuse a text that is longer than
     * your models need, by {@code file.metadata().get("modules").length()}, or a whole file as {@link
     * Safetensors#read(java.nio.file.Path)} says.
     *
     * @param file a state dict; its own metadata entry {@value #MODULES}, if any, is ignored
     * @param modules the modules, as {@code print(model)} shows them or an expression in Python makes them
     * @throws IllegalArgumentException if the text has another form; if it has a module that there is no layer for, or
     *     a class with several modules; if a batch norm has {@code momentum=None} or {@code track_running_stats=False};
     *     if a tensor is missing, has another shape than the modules say or is of a module that the text lacks; if the
     *     modules are found under several prefixes; if the names of a module and those around it have more than 256
     *     characters; or if a running statistic is not finite or a variance is negative
     */
    public static Network network(Safetensors file, String modules) {
        return modules(file, modules).network(file);
    }

    /**
     * {@return a network of the given modules, with their parameters and running statistics from one of several places
     * in the file}
     *
     * @param file a state dict
     * @param modules the modules, as for {@link #network(Safetensors, String)}
     * @param prefix what the names in the file have in front of those of a {@code Sequential}, {@code 0.weight} and so
     *     on: {@code "actor."}
     * @throws IllegalArgumentException as {@link #network(Safetensors, String)} does
     */
    public static Network network(Safetensors file, String modules, String prefix) {
        Checks.requireNonNull(prefix, "PyTorch.network", "prefix");
        return modules(file, modules).network(new PyTorchTensors(file, prefix));
    }

    private static PyTorchModules modules(Safetensors file, String modules) {
        Checks.requireNonNull(file, "PyTorch.network", "file");
        Checks.requireNonNull(modules, "PyTorch.network", MODULES);
        return new PyTorchModules(modules, "PyTorch.network");
    }

    /**
     * {@return the layer of a {@code Linear}; without bias if the file has none}
     *
     * @param file a state dict
     * @param name what the names of its tensors begin with, {@code "fc1"} for {@code fc1.weight} and {@code fc1.bias}
     * @throws IllegalArgumentException if there is no such weight, the shapes are not those of a {@code Linear}, or it
     *     has further tensors
     */
    public static Affine linear(Safetensors file, String name) {
        return (Affine) layer(file, name, "Linear()", "PyTorch.linear");
    }

    /**
     * {@return the layer of a {@code BatchNorm1d} with ε = 1e-5 and momentum 0.1; if the file has no weight and bias, γ
     * is 1 and β is 0}
     *
     * @param file a state dict
     * @param name what the names of its tensors begin with, {@code "bn1"} for {@code bn1.weight} and others
     * @throws IllegalArgumentException if there are no such running statistics, the shapes are not those of a {@code
     *     BatchNorm1d}, a running statistic is not finite, a variance is negative, or it has further tensors
     */
    public static BatchNorm batchNorm1d(Safetensors file, String name) {
        return batchNorm1d(file, name, 1e-5, 0.1);
    }

    /**
     * {@return the layer of a {@code BatchNorm1d}; if the file has no weight and bias, γ is 1 and β is 0}
     *
     * @param file a state dict
     * @param name what the names of its tensors begin with, {@code "bn1"} for {@code bn1.weight} and others
     * @param epsilon {@code eps} there; at least 0 and finite
     * @param momentum {@code momentum} there; 0 to 1
     * @throws IllegalArgumentException as {@link #batchNorm1d(Safetensors, String)} does, or if a number is out of its
     *     range
     */
    public static BatchNorm batchNorm1d(Safetensors file, String name, double epsilon, double momentum) {
        String text = "BatchNorm1d(eps=" + epsilon + ", momentum=" + momentum + ")";
        return (BatchNorm) layer(file, name, text, "PyTorch.batchNorm1d");
    }

    private static Layer layer(Safetensors file, String name, String module, String where) {
        Checks.requireNonNull(file, where, "file");
        Checks.requireNonNull(name, where, "name");
        PyTorchTensors tensors = new PyTorchTensors(file, name + ".");
        Layer layer = new PyTorchModule("", ModuleText.parse(module).get(0), where)
                .layer(tensors)
                .orElseThrow();
        if (!tensors.left().isEmpty()) {
            throw Checks.refusal(
                    where, tensors.tensor(tensors.left().get(0)), "left over", "tensors that such a module has");
        }
        return layer;
    }
}
