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

/**
 * The modules that a text shows, in the order in which a batch passes them. A {@code Sequential} says that order; of a
 * class with several modules only its {@code forward} does, so such a class is refused.
 */
final class PyTorchModules {
    private static final String SEQUENTIAL = "Sequential";
    private static final String DICTIONARY = "OrderedDict";

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

    /** Whether this is a class with one module, as DataParallel is, and often a class that has its Sequential. */
    private static boolean isAroundOne(Part part) {
        return !part.type().equals(SEQUENTIAL)
                && part.parts().size() == 1
                && !part.parts().get(0).key().isEmpty();
    }

    private void add(String path, Part part) {
        if (part.type().equals(SEQUENTIAL)) {
            addAll(path, modulesOf(part));
        } else if (part.parts().stream().anyMatch(inside -> !inside.key().isEmpty())) {
            throw Checks.refusal(
                    where,
                    "the class of " + PyTorchModule.place(path),
                    FormatFault.quoted(part.type()),
                    "Sequential; the text does not say what its forward calls and in which order: write it as a"
                            + " Sequential, with a ReLU() for each torch.relu, or make its layers by PyTorch.linear and"
                            + " PyTorch.batchNorm1d");
        } else if (!paths.add(path)) {
            throw Checks.occursTwice(where, PyTorchModule.place(path));
        } else {
            modules.add(new PyTorchModule(path, part, where));
        }
    }

    /** The modules of a Sequential; those of an OrderedDict are pairs in a list, or keys with values. */
    private static List<Part> modulesOf(Part sequential) {
        List<Part> parts = sequential.parts();
        if (parts.size() == 1 && parts.get(0).type().equals(DICTIONARY)) {
            List<Part> items = parts.get(0).parts();
            return items.isEmpty() ? items : items.get(0).parts();
        }
        return parts;
    }

    private void addAll(String path, List<Part> parts) {
        for (int i = 0; i < parts.size(); i++) {
            Part part = parts.get(i);
            String key = part.key().isEmpty() ? String.valueOf(i) : part.key();
            if (part.word().isEmpty() && part.parts().size() == 2) { // ("fc1", Linear(4, 8))
                key = part.parts().get(0).word();
                part = part.parts().get(1);
            }
            if (!ModuleText.isKey(key) || !part.name().isEmpty()) {
                throw Checks.refusal(
                        where,
                        "module " + i,
                        FormatFault.quoted(key + " " + part.name() + "=" + part.word()),
                        "a module of a Sequential; assignments do not say in which order forward calls their modules");
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
        int dot = name.lastIndexOf('.');
        boolean ofModule = paths.stream().anyMatch(path -> name.startsWith(path + "."));
        boolean isOneModule = paths.equals(Set.of(""));
        boolean ofAnother = PyTorchModule.NAMES.contains(name.substring(dot + 1)) && (dot < 0) == isOneModule;
        if (ofModule || ofAnother) {
            throw Checks.refusal(
                    where,
                    tensors.tensor(name),
                    "left over",
                    "tensors of the " + modules.size() + " modules in the text; is one missing there?");
        }
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
