package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

/** The mutants that no test kills are those of the list survivors.txt, which says why. */
final class SurvivorsTest {
    private static final Path LIST = Path.of("src/test/resources/io/github/backnorm/survivors.txt");
    private static final Path REPORTS = Path.of("target");
    private static final Set<String> ALIVE = Set.of("SURVIVED", "NO_COVERAGE");
    private static final Path SOURCES = Path.of("src/main/java/io/github/backnorm");
    private static final Pattern LINE =
            Pattern.compile("(?:equivalent|speed|untestable) (\\S+)\\.([\\w<>]+) (\\d+) (.+)");

    /**
     * A change to a method, and which one it is of those that read alike, from the top. Lambdas belong to their method.
     */
    private record Mutant(String type, String method, int number, String change) {
        static Mutant of(MatchResult line) {
            return new Mutant(line.group(1), line.group(2), Integer.parseInt(line.group(3)), line.group(4));
        }

        static Mutant of(Element mutation) {
            return new Mutant(
                    text(mutation, "mutatedClass").substring("io.github.backnorm.".length()),
                    text(mutation, "mutatedMethod").replaceFirst("^lambda\\$(\\w+)\\$\\d+$", "$1"),
                    1,
                    text(mutation, "description").replaceFirst(" for \\S+$", ""));
        }

        Mutant next() {
            return new Mutant(type, method, number + 1, change);
        }

        @Override
        public String toString() {
            return type + "." + method + " " + number + " " + change;
        }
    }

    @Test
    void survivors_listed_areOfMethodsThatExist() throws IOException {
        assertThat(survivors()).isNotEmpty().allSatisfy(mutant -> {
            String file = mutant.type.replace('.', '/').replaceFirst("\\$.*", "") + ".java";
            String name = mutant.method.replaceFirst("<\\w+>", mutant.type.replaceFirst(".*[.$]", ""));
            assertThat(Files.readString(SOURCES.resolve(file))).containsPattern("\\b" + name + "\\b");
        });
    }

    /** Of the classes that the profile {@code mutation} has mutated. */
    @Test
    @Tag("mutation")
    void survivors_lastRun_areThoseListed() throws Exception {
        Map<Mutant, String> statuses = statuses();
        assertThat(statuses).isNotEmpty();
        Set<String> types = statuses.keySet().stream().map(Mutant::type).collect(Collectors.toSet());
        Set<Mutant> listed = survivors().stream()
                .filter(mutant -> types.contains(mutant.type))
                .collect(Collectors.toSet());
        Set<Mutant> survivors = statuses.keySet().stream()
                .filter(mutant -> ALIVE.contains(statuses.get(mutant)))
                .collect(Collectors.toSet());
        Set<Mutant> slow = statuses.keySet().stream() // killed or not as the machine is slow or fast
                .filter(mutant -> statuses.get(mutant).equals("TIMED_OUT"))
                .collect(Collectors.toSet());
        assertThat(listed).as("listed").containsAll(survivors);
        listed.removeAll(slow);
        assertThat(survivors).as("survivors").containsAll(listed);
    }

    private static List<Mutant> survivors() throws IOException {
        return Files.readAllLines(LIST).stream()
                .filter(line -> !line.isEmpty() && !line.startsWith("#"))
                .map(line -> {
                    assertThat(line).matches(LINE);
                    return Mutant.of(LINE.matcher(line).results().findFirst().orElseThrow());
                })
                .toList();
    }

    /** The statuses of all reports. A mutant that one of them killed is killed; some code runs in one set-up only. */
    private static Map<Mutant, String> statuses() throws Exception {
        Map<Mutant, String> statuses = new HashMap<>();
        try (DirectoryStream<Path> reports = Files.newDirectoryStream(REPORTS, "pit-reports*")) {
            for (Path report : reports) {
                statuses(report.resolve("mutations.xml"))
                        .forEach((mutant, status) ->
                                statuses.merge(mutant, status, (one, other) -> ALIVE.contains(one) ? other : one));
            }
        }
        return statuses;
    }

    private static Map<Mutant, String> statuses(Path report) throws Exception {
        NodeList elements = DocumentBuilderFactory.newInstance()
                .newDocumentBuilder()
                .parse(report.toFile())
                .getElementsByTagName("mutation");
        List<Element> mutations = new ArrayList<>();
        for (int i = 0; i < elements.getLength(); i++) {
            mutations.add((Element) elements.item(i));
        }
        Comparator<Element> fromTheTop = Comparator.comparingInt(mutation -> number(mutation, "lineNumber"));
        mutations.sort(fromTheTop.thenComparingInt(mutation -> number(mutation, "index")));
        Map<Mutant, String> statuses = new HashMap<>();
        for (Element mutation : mutations) {
            Mutant mutant = Mutant.of(mutation);
            while (statuses.containsKey(mutant)) {
                mutant = mutant.next();
            }
            statuses.put(mutant, mutation.getAttribute("status"));
        }
        return statuses;
    }

    private static int number(Element mutation, String tag) {
        return Integer.parseInt(text(mutation, tag));
    }

    private static String text(Element mutation, String tag) {
        return mutation.getElementsByTagName(tag).item(0).getTextContent();
    }
}
