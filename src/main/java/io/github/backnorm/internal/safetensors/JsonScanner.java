package io.github.backnorm.internal.safetensors;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;

/**
 * A scanner for JSON (RFC 8259) whose numbers are integers from 0 on. The caller asks for the token that must come
 * next, so a text cannot nest deeper than the caller's own calls do.
 *
 * <p>It works on bytes: all of JSON's own characters are ASCII, and in UTF-8 no other character contains an ASCII byte.
 * Strings are decoded strictly: malformed UTF-8, control characters and halves of surrogate pairs are refused. A string
 * with escapes or other characters than ASCII is decoded in one array, which all of them share.
 */
final class JsonScanner {
    private static final int END = -1;
    private static final int MAX_DIGITS = 18; // every number with this many digits fits into a long

    private final byte[] json;
    private final ByteBuffer bytes;
    private final CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder(); // reports what is malformed
    private CharBuffer chars; // long enough for every string, once there is one
    private int position;

    JsonScanner(byte[] json) {
        this.json = json;
        this.bytes = ByteBuffer.wrap(json);
    }

    /** Skips white space and returns the next byte without taking it; END after the last. */
    private int peek() {
        while (position < json.length && " \t\n\r".indexOf(json[position]) >= 0) {
            position++;
        }
        return position < json.length ? json[position] : END;
    }

    boolean accept(char token) {
        boolean accepted = peek() == token;
        if (accepted) {
            position++;
        }
        return accepted;
    }

    void require(char token) throws FormatFault {
        if (!accept(token)) {
            throw unexpected("" + token);
        }
    }

    /** Whether another element follows in a list that ends with this token. */
    boolean another(char close) throws FormatFault {
        if (accept(',')) {
            return true;
        }
        if (accept(close)) {
            return false;
        }
        throw unexpected(", or " + close);
    }

    void requireEnd() throws FormatFault {
        if (peek() != END) {
            throw unexpected("nothing but white space");
        }
    }

    long number() throws FormatFault {
        int first = peek();
        if (first < '0' || first > '9') {
            throw unexpected("an integer that is not negative");
        }
        int start = position;
        long value = 0;
        while (position < json.length && json[position] >= '0' && json[position] <= '9') {
            if (position - start == MAX_DIGITS || (position > start && first == '0')) {
                throw unexpected("an integer of at most " + MAX_DIGITS + " digits, the first of them not 0");
            }
            value = 10 * value + (json[position++] - '0');
        }
        return value;
    }

    String string() throws FormatFault {
        if (peek() != '"') {
            throw unexpected("a string");
        }
        int start = ++position;
        boolean plain = true;
        for (; position < json.length && json[position] != '"'; position++) {
            if (json[position] >= 0 && json[position] < ' ') {
                throw unexpected("no control character in a string");
            }
            plain &= json[position] >= 0 && json[position] != '\\';
            if (json[position] == '\\') {
                position++; // what it escapes may be a quotation mark
            }
        }
        if (position >= json.length) {
            throw new FormatFault("header ends within a string, which began at byte " + (start - 1));
        }
        String text = plain
                ? new String(json, start, position - start, StandardCharsets.US_ASCII) // usual, and takes less memory
                : decoded(start);
        position++;
        return text;
    }

    private String decoded(int start) throws FormatFault {
        if (chars == null) {
            chars = CharBuffer.allocate(json.length); // no character of UTF-8 has fewer bytes than Java has chars
        }
        bytes.limit(position).position(start);
        if (decoder.reset().decode(bytes, chars.clear(), true).isError()) {
            throw inString("bytes that are not UTF-8", start);
        }
        String text = unescaped(chars.array(), chars.position(), start);
        if (hasLoneSurrogate(text)) {
            throw inString("half of a surrogate pair", start);
        }
        return text;
    }

    /** The first {@code length} of these characters, with each escape in place replaced by what it stands for. */
    private static String unescaped(char[] text, int length, int start) throws FormatFault {
        int end = 0;
        for (int i = 0; i < length; i++) {
            char c = text[i];
            if (c == '\\') {
                c = text[++i];
                int known = "\"\\/bfnrt".indexOf(c);
                if (c == 'u') {
                    c = fourDigits(text, i + 1, length, start);
                    i += 4;
                } else if (known >= 0) {
                    c = "\"\\/\b\f\n\r\t".charAt(known);
                } else {
                    throw inString("an escape that JSON does not know", start);
                }
            }
            text[end++] = c;
        }
        return new String(text, 0, end);
    }

    private static char fourDigits(char[] text, int from, int length, int start) throws FormatFault {
        int value = 0;
        for (int i = from; i < from + 4; i++) {
            char c = i < length ? text[i] : 0;
            int digit = c < 128 ? Character.digit(c, 16) : -1; // other scripts have digits, too
            if (digit < 0) {
                throw inString("\\u without four digits", start);
            }
            value = 16 * value + digit;
        }
        return (char) value;
    }

    /** Whether a text has half of a surrogate pair, which UTF-8 cannot encode. */
    static boolean hasLoneSurrogate(String text) {
        for (int i = 0; i < text.length(); i++) {
            if (Character.isSurrogate(text.charAt(i))) {
                if (!Character.isSupplementaryCodePoint(text.codePointAt(i))) {
                    return true;
                }
                i++;
            }
        }
        return false;
    }

    private static FormatFault inString(String what, int start) {
        return new FormatFault("the string at byte " + (start - 1) + " of the header has " + what);
    }

    private FormatFault unexpected(String expected) {
        if (position >= json.length) {
            return new FormatFault("header ends where " + expected + " is expected");
        }
        int found = json[position] & 0xFF;
        String shown = found > ' ' && found <= '~' ? "" + (char) found : String.format("0x%02x", found);
        return new FormatFault("byte " + position + " of the header", shown, expected);
    }
}
