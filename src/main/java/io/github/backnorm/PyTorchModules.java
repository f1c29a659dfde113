package io.github.backnorm;

import io.github.backnorm.internal.pytorch.ModuleText;
import io.github.backnorm.internal.pytorch.ModuleText.Part;
import io.github.backnorm.internal.safetensors.FormatFault;
import io.github.backnorm.internal.safetensors.StoredTensor;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * The modules that a text shows, in the order in which a batch passes them. A {@code Sequential} says that order; of a
 * class with several modules only its {@code forward} does, so such a class is refused.
 */
final class PyTorchModules {
    private static final String SEQUENTIAL = "Sequential";
    private static final String DICTIONARY = "OrderedDict";

    /** Classes whose forward does nothing but call the one module inside. */
    private static final Set<String> WRAPPERS =
            Set.of("DataParallel", "DistributedDataParallel", "OptimizedModule", "AveragedModel");

    /** The names of tensors that are a module's, where the text is of one module alone, and where it is of several. */
    private static final Pattern OF_ONE_MODULE = Pattern.compile("(?:weight|bias|running_|lora_)[^.]*");

    private static final Pattern OF_A_MODULE = Pattern.compile("(?s).*[.](?:weight|bias|running_mean|running_var)");

    /**
     * The most characters of a module's path: four for each of the brackets in each other that a text may have. Each
     * module has its path, so without a limit a short text could fill the memory.
     */
    private static final int MAX_PATH = 256;

    private final String where;
    private final List<PyTorchModule> modules = new ArrayList<>();
    private final Set<String> paths = new HashSet<>();

    /** The beginning of all names where the text is of a class around the one model: {@code net.}; else empty. */
    private final String root;

    /** The modules of a text; {@code where} is the method that reads it. */
    PyTorchModules(String text, String where) {
        this.where = where;
        List<Part> parts = parse(text);
        if (parts.size() != 1) {
            parts.forEach(this::requireOfSequential);
            addAll("", parts);
            root = "";
            return;
        }
        Part part = parts.get(0);
        StringBuilder names = new StringBuilder();
        while (isAroundOne(part)) {
            part = part.parts().get(0);
            names.append(part.key()).append('.');
        }
        root = names.toString();
        add(root.isEmpty() ? part.key() : "", part);
    }

    private List<Part> parse(String text) {
        try {
            return ModuleText.parse(text);
        } catch (IllegalArgumentException fault) {
            throw new IllegalArgumentException(where + ": " + fault.getMessage(), fault);
        }
    }

    /** The inside of a class, without its name, does not show an order; that of a Sequential has numbers as keys. */
    private void requireOfSequential(Part part) {
        if (!part.key().chars().allMatch(Character::isDigit)) {
            throw refusedClass("", "without a name");
        }
    }

    /** Whether this is a wrapper, or a class whose only module is a Sequential, perhaps in another such class. */
    private static boolean isAroundOne(Part part) {
        if (part.type().equals(SEQUENTIAL)
                || part.parts().size() != 1
                || part.parts().get(0).key().isEmpty()) {
            return false;
        }
        Part inside = part.parts().get(0);
        return WRAPPERS.contains(part.type()) || inside.type().equals(SEQUENTIAL) || isAroundOne(inside);
    }

    private IllegalArgumentException refusedClass(String path, String type) {
        return Checks.refusal(
                where,
                "the class of " + PyTorchModule.place(path),
                type,
                "Sequential; the text does not say what its forward calls and in which order: pass the text of its"
                        + " Sequential alone, or write it as one, with a ReLU() for each torch.relu, or make its layers"
                        + " by PyTorch.linear and PyTorch.batchNorm1d");
    }

    private void add(String path, Part part) {
        if (path.length() > MAX_PATH) {
            throw Checks.refusal(
                    where,
                    "the path of a module",
                    FormatFault.quoted(path),
                    "one of at most " + MAX_PATH + " characters");
        }
        if (part.type().equals(SEQUENTIAL)) {
            addAll(path, modulesOf(part));
        } else if (part.parts().stream().anyMatch(inside -> !inside.key().isEmpty())) {
            throw refusedClass(path, FormatFault.quoted(part.type()));
        } else if (!paths.add(path)) {
            throw Checks.occursTwice(where, PyTorchModule.place(path));
        } else {
            modules.add(new PyTorchModule(path, part, where));
        }
    }

    /** The modules of a Sequential, also if they are in a list; those of an OrderedDict are pairs or have keys. */
    private static List<Part> modulesOf(Part sequential) {
        List<Part> parts = sequential.parts();
        Part only = parts.size() == 1 ? parts.get(0) : sequential;
        if (only.word().equals("*")) {
            return only.parts();
        }
        if (only.type().equals(DICTIONARY) && only.parts().size() == 1) {
            return only.parts().get(0).parts();
        }
        return parts;
    }

    private void addAll(String path, List<Part> parts) {
        for (int i = 0; i < parts.size(); i++) {
            Part part = parts.get(i);
            String key = part.key().isEmpty() ? String.valueOf(i) : part.key();
            List<Part> pair = part.parts();
            if (part.word().isEmpty() && pair.size() == 2 && pair.get(0).parts().isEmpty()) { // ("fc1", Linear(4, 8))
                key = pair.get(0).word();
                part = pair.get(1);
            }
            if (!ModuleText.isKey(key) || !part.name().isEmpty()) {
                throw Checks.refusal(
                        where,
                        "module " + i,
                        FormatFault.quoted(key + " " + part.name() + "=" + part.word()),
                        "a module of a Sequential; pass what print(model) shows, or the expression nn.Sequential(…)"
                                + " alone");
            }
            add(path.isEmpty() ? key : path + "." + key, part);
        }
    }

    /** The network of the modules, with the file's tensors, wherever in the file they are. */
    Network network(Safetensors file) {
        List<String> required =
                modules.stream().flatMap(module -> module.required().stream()).toList();
        return network(PyTorchTensors.find(file, required, root, where));
    }

    /** The network of the modules, with these tensors. */
    Network network(PyTorchTensors tensors) {
        List<Layer> layers = new ArrayList<>();
        for (PyTorchModule module : modules) {
            module.layer(tensors).ifPresent(layers::add);
        }
        for (String name : tensors.left()) {
            requireNoModules(name, tensors);
        }
        try {
            return new Network(layers.toArray(Layer[]::new));
        } catch (IllegalArgumentException misfit) {
            throw new IllegalArgumentException(where + ": " + misfit.getMessage(), misfit);
        }
    }

    /** Refuses a tensor that nobody took although it is of a module of the text, or of one that the text lacks. */
    private void requireNoModules(String name, PyTorchTensors tensors) {
        boolean ofAnother = paths.equals(Set.of(""))
                ? OF_ONE_MODULE.matcher(name).matches()
                : OF_A_MODULE.matcher(name).matches() && tensors.isOfLayer(name);
        if (ofAnother || isOfModule(name)) {
            throw Checks.refusal(
                    where,
                    tensors.tensor(name),
                    "left over",
                    "tensors of the modules in the text; if one is missing there, add it, else leave the tensor out by"
                            + " Safetensors.read(file, names)");
        }
    }

    private boolean isOfModule(String name) {
        for (int dot = name.indexOf('.'); dot >= 0 && dot <= MAX_PATH; dot = name.indexOf('.', dot + 1)) {
            if (paths.contains(name.substring(0, dot))) {
                return true;
            }
        }
        return false;
    }

    /** The state dict of these layers, with the names of the modules, which must be theirs. */
    Map<String, StoredTensor> stateDict(List<Layer> layers) {
        List<PyTorchModule> computing =
                modules.stream().filter(PyTorchModule::isLayer).toList();
        if (computing.size() != layers.size()) {
            throw Checks.refusal(
                    where,
                    "the number of modules that compute something",
                    computing.size(),
                    layers.size() + ", as the network has layers");
        }
        Map<String, StoredTensor> tensors = new LinkedHashMap<>();
        for (int i = 0; i < layers.size(); i++) {
            computing.get(i).addTensors(layers.get(i), root, tensors);
        }
        return tensors;
    }
}
