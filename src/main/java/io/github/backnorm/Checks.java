package io.github.backnorm;

import io.github.backnorm.internal.Elementwise;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Checks, and the texts of refusals that several methods share:
 * {@code <Type>.<method>: <what> is <actual>, expected <expected>[; <what to do>]}.
 *
 * <p>A {@code require…} method throws; the others make the exception for the caller to throw. {@code where} is the
 * {@code <Type>.<method>} part.
 */
final class Checks {
    /** A little less than the longest array, so that the index of a loop by blocks may pass the end by one block. */
    static final int MAX_ENTRIES = Integer.MAX_VALUE - 1023;

    private Checks() {}

    static <T> T requireNonNull(T value, String where, String what) {
        if (value == null) {
            throw new NullPointerException(text(where, what, "null", "a value"));
        }
        return value;
    }

    static int requireIndex(int index, int length, String where, String what) {
        return requireIndex(index, length, where, what, "");
    }

    /** The hint says what to do; it is empty, or begins with a semicolon. */
    static int requireIndex(int index, int length, String where, String what, String hint) {
        if (index < 0 || index >= length) {
            throw new IndexOutOfBoundsException(text(where, what, index, "at least 0 and less than " + length + hint));
        }
        return index;
    }

    static int requireNotNegative(int value, String where, String what) {
        if (value < 0) {
            throw refusal(where, what, value, "at least 0");
        }
        return value;
    }

    static double requireFiniteNotNegative(double value, String where, String what) {
        if (!(value >= 0 && value <= Double.MAX_VALUE)) {
            throw refusal(where, what, value, "at least 0 and finite");
        }
        return value;
    }

    static void requireLessThanOne(double value, String where, String what) {
        if (!(value >= 0 && value < 1)) {
            throw refusal(where, what, value, "at least 0 and less than 1");
        }
    }

    /** The number of entries of a matrix of this shape. */
    static int requireSize(int rows, int columns, String where) {
        requireNotNegative(rows, where, "rows");
        requireNotNegative(columns, where, "columns");
        long size = (long) rows * columns;
        if (size > MAX_ENTRIES) {
            throw refusal(where, "size", shape(rows, columns) + " = " + size, "at most " + MAX_ENTRIES + " entries");
        }
        return (int) size;
    }

    static void requireLength(double[] values, int length, String where, String what, String expected) {
        requireLength(requireNonNull(values, where, what).length, length, where, what, expected);
    }

    static void requireLength(int actual, int length, String where, String what, String expected) {
        if (actual != length) {
            throw new IllegalArgumentException(
                    where + ": " + what + " has length " + actual + ", expected " + expected);
        }
    }

    static void requireShape(Matrix matrix, int rows, int columns, String where, String what) {
        requireShape(matrix, rows, columns, where, what, "");
    }

    /** The note explains the expected shape; it is empty, or in parentheses after a space. */
    static void requireShape(Matrix matrix, int rows, int columns, String where, String what, String note) {
        requireNonNull(matrix, where, what);
        if (matrix.rows() != rows || matrix.columns() != columns) {
            throw refusal(where, what, shape(matrix), shape(rows, columns) + note);
        }
    }

    static void requireFinite(Matrix matrix, String where, String what) {
        int index = Elementwise.firstNonFinite(matrix.data());
        if (index >= 0) {
            throw refusal(where, entry(matrix, index, what), matrix.data()[index], "a finite number");
        }
    }

    /** Lets NaN pass: call {@link #requireFinite} first. */
    static void requireNotNegative(Matrix matrix, String where, String what) {
        double[] data = matrix.data();
        for (int i = 0; i < data.length; i++) {
            if (data[i] < 0) {
                throw refusal(where, entry(matrix, i, what), data[i], "at least 0");
            }
        }
    }

    /**
     * Returns a copy of a state, because the caller may go on changing it. Refuses a state whose names and shapes are
     * not those of the expected one; the message lists every fault.
     */
    static Map<String, Matrix> requireState(Map<String, Matrix> given, Map<String, Matrix> expected, String where) {
        Map<String, Matrix> state = new LinkedHashMap<>(requireNonNull(given, where, "state"));
        requireNone(stateFaults(state, expected), where);
        return state;
    }

    /** What is wrong with the names and shapes of a state. */
    static List<String> stateFaults(Map<String, Matrix> state, Map<String, Matrix> expected) {
        List<String> faults = new ArrayList<>();
        expected.forEach((name, old) -> {
            Matrix value = state.get(name);
            if (value == null) {
                faults.add(name + " is missing, expected " + shape(old));
            } else if (value.rows() != old.rows() || value.columns() != old.columns()) {
                faults.add(name + " is " + shape(value) + ", expected " + shape(old));
            }
        });
        for (String name : state.keySet()) {
            if (!expected.containsKey(name)) {
                faults.add(name + " is unexpected");
            }
        }
        return faults;
    }

    static void requireNone(List<String> faults, String where) {
        if (!faults.isEmpty()) {
            throw new IllegalArgumentException(where + ": " + String.join("; ", faults));
        }
    }

    static IllegalArgumentException occursTwice(String where, String what) {
        return new IllegalArgumentException(where + ": " + what + " occurs twice, expected once");
    }

    static IllegalStateException noGradient(String where, String what) {
        return new IllegalStateException(
                where + ": " + what + " has no gradient yet; call backward, which must set it");
    }

    static IllegalArgumentException refusal(String where, String what, Object actual, String expected) {
        return new IllegalArgumentException(text(where, what, actual, expected));
    }

    /**
     * A refusal with a place in front, instead of what its message begins with, {@code where}, and a hint behind it. An
     * exception of a subclass, or without a message, is returned as it is.
     */
    static IllegalArgumentException placed(String place, String where, String hint, IllegalArgumentException refusal) {
        String message = refusal.getMessage();
        if (refusal.getClass() != IllegalArgumentException.class || message == null) {
            return refusal;
        }
        String what = message.startsWith(where) ? message.substring(where.length()) : message;
        return new IllegalArgumentException(place + ": " + what + hint, refusal);
    }

    /** What may explain why a layer refuses an infinite entry, to be added to the message. */
    static String hint(List<Layer> layers, int index, String method) {
        boolean normalizes = method.equals("forward") && layers.get(index) instanceof BatchNorm;
        return normalizes
                        && index > 0
                        && layers.get(index - 1) instanceof Affine affine
                        && affine.precision() == Precision.SINGLE
                ? "; the layer before has single precision, where what is beyond 3.4e38 is infinite"
                : "";
    }

    static String place(int index, Object layer) {
        return "layer " + index + " (" + typeName(layer) + ")";
    }

    static String typeName(Object layer) {
        String name = layer.getClass().getSimpleName();
        return name.isEmpty() ? layer.getClass().getName() : name;
    }

    static String shape(Matrix matrix) {
        return shape(matrix.rows(), matrix.columns());
    }

    static String shape(int rows, int columns) {
        return (rows == BuiltInLayer.UNKNOWN ? "N" : rows) + "x" + columns;
    }

    static String entry(Matrix matrix, int index, String what) {
        return what + "[" + index / matrix.columns() + "," + index % matrix.columns() + "]";
    }

    private static String text(String where, String what, Object actual, String expected) {
        return where + ": " + what + " is " + actual + ", expected " + expected;
    }
}
