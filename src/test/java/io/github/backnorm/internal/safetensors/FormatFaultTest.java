package io.github.backnorm.internal.safetensors;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

final class FormatFaultTest {
    @Test
    void quoted_characters_escapedUnlessHarmless() {
        assertThat(FormatFault.quoted("a ~é")).isEqualTo("\"a ~é\"");
        assertThat(FormatFault.quoted("\u001f\u007f\u202e")).isEqualTo("\"\\u001f\\u007f\\u202e\"");
    }

    @Test
    void quoted_moreThan80Characters_shortened() {
        String longest = "x".repeat(80);

        assertThat(FormatFault.quoted(longest)).isEqualTo('"' + longest + '"');
        assertThat(FormatFault.quoted(longest + "y")).isEqualTo('"' + longest + "…\"");
    }
}
