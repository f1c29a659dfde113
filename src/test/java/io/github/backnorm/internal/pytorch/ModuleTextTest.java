package io.github.backnorm.internal.pytorch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import io.github.backnorm.internal.pytorch.ModuleText.Part;
import java.util.List;
import org.junit.jupiter.api.Test;

final class ModuleTextTest {
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
