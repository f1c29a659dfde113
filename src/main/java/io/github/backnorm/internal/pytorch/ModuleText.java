package io.github.backnorm.internal.pytorch;

import io.github.backnorm.internal.safetensors.FormatFault;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/**
 * Reads a text that shows modules: what {@code print(model)} prints, in Python or C++, or the constructor calls in
 * Python.
 *
 * <p>One grammar does for all. A part may have a key, as in {@code (fc1): Linear(4, 8)}, or a name, as in {@code
 * bias=True} or {@code model = Sequential()}. Then comes a word, or brackets with further parts, or both. A comma, a
 * semicolon or the end of a line separates parts. Comments and imports are skipped, and so are calls such as {@code
 * .double()}, which leave a model its modules.
 */
public final class ModuleText {
    private static final int END = -1;
    private static final int MAX_DEPTH = 64;
    private static final Pattern IMPORT = Pattern.compile("(?m)^[ \\t]*(?:import|from)[ \\t].*$");
    private static final Pattern PACKAGE =
            Pattern.compile("^(?:torch[.])?(?:nn[.])(?:modules[.]\\w+[.])?|^torch::nn::|^collections[.]");
    private static final List<String> SAME_MODULES =
            List.of(".double", ".float", ".half", ".bfloat16", ".to", ".cpu", ".cuda", ".eval", ".train");

    private static final String BETWEEN_WORDS = " \t\r\n\f()[]{},;:=#'\"";

    private final String text;
    private int next;

    private ModuleText(String text) {
        this.text = text;
    }

    /**
     * A part of a text.
     *
     * @param key the key in front of it; empty if there is none
     * @param name the argument or variable that it is given to; empty if there is none
     * @param word a class or a value; empty if there are only brackets
     * @param parts what stands in the brackets
     */
    public record Part(String key, String name, String word, List<Part> parts) {
        /** The word without PyTorch's packages: Linear for torch.nn.Linear and torch::nn::Linear. */
        public String type() {
            return PACKAGE.matcher(word).replaceFirst("");
        }
    }

    /** The parts of a text; an IllegalArgumentException if it has another form. */
    public static List<Part> parse(String text) {
        return new ModuleText(IMPORT.matcher(text).replaceAll("")).parts(END, 0);
    }

    /** The parts up to a bracket that closes, or to the end. */
    private List<Part> parts(int close, int depth) {
        if (depth > MAX_DEPTH) {
            throw fault("at most " + MAX_DEPTH + " brackets in each other");
        }
        List<Part> parts = new ArrayList<>();
        boolean separated = true;
        skipBlank();
        while (!isAt(close)) {
            if (!separated) {
                throw fault("a comma, the end of a line or of the brackets");
            }
            parts.add(part(depth));
            separated = skipBlank();
            if (isAt(',') || isAt(';')) {
                next++;
                skipBlank();
                separated = true;
            }
        }
        next++;
        return parts;
    }

    private Part part(int depth) {
        String key = key();
        String name = "";
        String word = word();
        if (isAt('=')) {
            next++;
            name = word;
            word = word();
        } else if (isAt(':') && isKey(word)) {
            next++;
            key = word;
            word = word();
        }
        boolean inBrackets = isAt('(') || isAt('[') || isAt('{');
        if (word.isEmpty() && !inBrackets) {
            throw fault("a module or an argument");
        }
        List<Part> parts = inBrackets ? brackets(depth) : List.of();
        while (isAt('.')) {
            int start = next;
            if (!SAME_MODULES.contains(word()) || !isAt('(')) {
                next = start;
                throw fault("one of " + SAME_MODULES);
            }
            brackets(depth);
        }
        return new Part(key, name, word, parts);
    }

    private List<Part> brackets(int depth) {
        char open = text.charAt(next++);
        return parts(open == '(' ? ')' : open == '[' ? ']' : '}', depth + 1);
    }

    /** The key if one stands here: a word in parentheses, followed by a colon. */
    private String key() {
        int end = next + 1;
        while (end < text.length() && isInKey(text.charAt(end))) {
            end++;
        }
        if (!isAt('(') || !text.startsWith("):", end)) {
            return "";
        }
        String key = text.substring(next + 1, end);
        next = end + 2;
        return key;
    }

    /** Whether a text can be a module's key. */
    public static boolean isKey(String text) {
        return !text.isEmpty() && text.chars().allMatch(ModuleText::isInKey);
    }

    private static boolean isInKey(int c) {
        return Character.isLetterOrDigit(c) || c == '_' || c == '-';
    }

    /** A word or quoted string, without the blanks around it; empty if there is none. */
    private String word() {
        skipSpaces();
        int start = next;
        String word;
        if (isAt('"') || isAt('\'')) {
            int end = text.indexOf(text.charAt(next), next + 1);
            if (end < 0) {
                throw fault("a string with an end");
            }
            word = text.substring(start + 1, end);
            next = end + 1;
        } else {
            while (isInWord()) {
                next += isAt(':') ? 2 : 1;
            }
            word = text.substring(start, next);
        }
        skipSpaces();
        return word;
    }

    private boolean isInWord() {
        if (next == text.length() || text.startsWith("//", next)) {
            return false;
        }
        return text.startsWith("::", next) || BETWEEN_WORDS.indexOf(text.charAt(next)) < 0;
    }

    private void skipSpaces() {
        while (isAt(' ') || isAt('\t')) {
            next++;
        }
    }

    /** Skips blanks, line ends and comments. Returns whether a line ended. */
    private boolean skipBlank() {
        boolean lineEnded = false;
        while (next < text.length()) {
            if (isAt('#') || text.startsWith("//", next)) {
                int end = text.indexOf('\n', next);
                next = end < 0 ? text.length() : end;
            } else if (Character.isWhitespace(text.charAt(next))) {
                lineEnded |= isAt('\n');
                next++;
            } else {
                break;
            }
        }
        return lineEnded;
    }

    private boolean isAt(int c) {
        return c == (next < text.length() ? text.charAt(next) : END);
    }

    private IllegalArgumentException fault(String expected) {
        long line = 1 + text.substring(0, next).chars().filter(c -> c == '\n').count();
        String rest = text.substring(next).lines().findFirst().orElse("");
        return new IllegalArgumentException("the text of the modules is "
                + (rest.isEmpty() ? "at its end" : FormatFault.quoted(rest))
                + " in line " + line + ", expected " + expected
                + "; pass what print(model) shows, or the expression nn.Sequential(…) alone");
    }
}
