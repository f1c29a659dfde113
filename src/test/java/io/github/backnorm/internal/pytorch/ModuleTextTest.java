package io.github.backnorm.internal.pytorch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import io.github.backnorm.internal.pytorch.ModuleText.Part;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class ModuleTextTest {
    @ParameterizedTest
    @ValueSource(strings = {"a\t,b", "a//\n\tb", "# c\na, b# c", "//\na // c, d\nb//", "\fa,\tb\t#c\n"})
    void parse_blanksAndComments_skipped(String text) {
        assertThat(ModuleText.parse(text)).isEqualTo(ModuleText.parse("a, b"));
    }

    @Test
    void parse_methodWithoutBrackets_refused() {
        assertThat(ModuleText.parse("a().eval()")).isEqualTo(ModuleText.parse("a()"));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> ModuleText.parse("a().eval"))
                .withMessageContaining("the text of the modules is \".eval\" in line 1, expected one of [.double, ");
    }

    @Test
    void parse_bracketsInEachOther_64AtMost() {
        List<Part> parts = ModuleText.parse("a(".repeat(64) + ")".repeat(64));
        int depth = 0;
        while (!parts.isEmpty()) {
            assertThat(parts).hasSize(1).first().returns("a", Part::word);
            parts = parts.get(0).parts();
            depth++;
        }
        assertThat(depth).isEqualTo(64);

        assertThatIllegalArgumentException()
                .isThrownBy(() -> ModuleText.parse("a(".repeat(65) + ")".repeat(65)))
                .withMessageContaining("expected at most 64 brackets in each other");
    }
}
