package io.github.backnorm;

import io.github.backnorm.internal.safetensors.FormatFault;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/** The tensors of a file whose names begin with a prefix, for the modules that ask for them. */
final class PyTorchTensors {
    private static final int SHOWN = 8; // names in a message

    private final Map<String, Safetensors.Tensor> tensors;
    private final String prefix;
    private final Set<String> taken = new HashSet<>();

    PyTorchTensors(Safetensors file, String prefix) {
        this.tensors = file.tensors();
        this.prefix = prefix;
    }

    /**
     * The tensors below the prefix that the required ones have in the file. It is the expected one if they are there,
     * else the only other one. If there is none, it is the expected one again, and a module that misses a tensor says
     * so.
     */
    static PyTorchTensors find(Safetensors file, List<String> required, String expected, String where) {
        Set<String> names = file.tensors().keySet();
        if (required.isEmpty() || holds(names, expected, required)) {
            return new PyTorchTensors(file, expected);
        }
        String first = required.get(0);
        List<String> prefixes = names.stream()
                .filter(name -> name.equals(first) || name.endsWith("." + first))
                .map(name -> name.substring(0, name.length() - first.length()))
                .toList();
        List<String> fitting = prefixes.stream()
                .filter(prefix -> holds(names, prefix, required))
                .toList();
        if (fitting.size() > 1) {
            throw Checks.refusal(
                    where, "the prefix", "one of " + quoted(fitting), "a single one; pass it as an argument");
        }
        List<String> found = fitting.isEmpty() ? prefixes : fitting;
        return new PyTorchTensors(file, found.size() == 1 ? found.get(0) : expected);
    }

    private static boolean holds(Set<String> names, String prefix, List<String> required) {
        return required.stream().allMatch(name -> names.contains(prefix + name));
    }

    boolean has(String name) {
        return tensors.containsKey(prefix + name);
    }

    /** A tensor of two dimensions. */
    Matrix matrix(String name, String where) {
        return take(name, where, "one of 2 dimensions", shape -> shape.size() == 2);
    }

    /** A tensor of shape [n] or [1, n]. */
    Matrix vector(String name, String where, String note) {
        return take(
                name,
                where,
                "one of 1 dimension" + note,
                shape -> shape.size() == 1 || (shape.size() == 2 && shape.get(0) == 1));
    }

    private Matrix take(String name, String where, String expected, Predicate<List<Integer>> fits) {
        Safetensors.Tensor tensor = tensors.get(prefix + name);
        if (tensor == null) {
            String inFile = "; the file has " + quoted(List.copyOf(tensors.keySet()));
            throw Checks.refusal(where, tensor(name), "missing", expected + inFile);
        }
        if (!fits.test(tensor.shape())) {
            throw Checks.refusal(where, tensor(name), tensor, expected);
        }
        ignore(name);
        return tensor.matrix();
    }

    /** Counts a tensor, if there is one, as taken. */
    void ignore(String name) {
        taken.add(prefix + name);
    }

    /** The names below the prefix, without it, of the tensors that no module has taken. */
    List<String> left() {
        return tensors.keySet().stream()
                .filter(name -> name.startsWith(prefix) && !taken.contains(name))
                .map(name -> name.substring(prefix.length()))
                .toList();
    }

    /** Whether a layer can have a tensor of this shape. */
    boolean isOfLayer(String name) {
        int dimensions = tensors.get(prefix + name).shape().size();
        return dimensions == 1 || dimensions == 2;
    }

    String tensor(String name) {
        return "tensor " + FormatFault.quoted(prefix + name);
    }

    private static String quoted(List<String> names) {
        String shown = names.stream().limit(SHOWN).map(FormatFault::quoted).collect(Collectors.joining(", "));
        return names.isEmpty() ? "none" : shown + (names.size() > SHOWN ? ", … (" + names.size() + ")" : "");
    }
}
