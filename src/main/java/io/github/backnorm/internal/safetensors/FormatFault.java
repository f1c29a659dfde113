package io.github.backnorm.internal.safetensors;

import java.io.IOException;

/** What is wrong with the content of a file: {@code <what> is <actual>, expected <expected>}. */
public final class FormatFault extends IOException {
    /** What to do about a tensor that is in the format, but not supported. */
    static final String LEAVE_OUT = "a filter of names leaves the tensor out: read(file, names)";

    private static final long serialVersionUID = 1;
    private static final int SHOWN = 80; // characters of a text that comes from a file

    FormatFault(String message) {
        super(message);
    }

    FormatFault(String what, Object actual, String expected) {
        super(what + " is " + actual + ", expected " + expected);
    }

    /** This fault, with the part of the file that has it in front. */
    FormatFault in(String thing) {
        return new FormatFault(thing + ": " + getMessage());
    }

    /**
     * Text from a file, made safe for a message: in quotes, shortened, and with characters escaped that could forge a
     * line of a log or turn the direction of writing.
     */
    public static String quoted(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (int i = 0; i < Math.min(text.length(), SHOWN); i++) {
            char c = text.charAt(i);
            if (Character.isLetterOrDigit(c) || (c >= ' ' && c <= '~')) {
                quoted.append(c);
            } else {
                quoted.append("\\u").append(Integer.toHexString(0x10000 | c), 1, 5);
            }
        }
        return quoted.append(text.length() > SHOWN ? "…\"" : "\"").toString();
    }
}
