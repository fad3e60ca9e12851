# libinstant for C programs: shared and static, both of all floors, both showing nothing but
# instant_*; with instant.h, a pkg-config file and a CMake package.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

file(STRINGS ${CMAKE_SOURCE_DIR}/core/include/instant.h header_version REGEX "^#define INSTANT_VERSION ")
if(NOT header_version STREQUAL "#define INSTANT_VERSION \"${PROJECT_VERSION}\"")
  message(FATAL_ERROR "instant.h says ${header_version}, CMakeLists.txt ${PROJECT_VERSION}")
endif()

set(objects "")
foreach(floor base triples instaql instaml schema rules client server io capi)
  if(TARGET inst_${floor})
    list(APPEND objects $<TARGET_OBJECTS:inst_${floor}>)
  endif()
endforeach()

set(map ${CMAKE_SOURCE_DIR}/core/capi/instant.map)
add_library(instant SHARED ${objects})
set_target_properties(instant PROPERTIES
  LINKER_LANGUAGE C VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${map})
target_link_options(instant PRIVATE -Wl,--version-script=${map})
target_link_libraries(instant PRIVATE PkgConfig::LWS PkgConfig::UV PkgConfig::OPENSSL PkgConfig::CRYPTO
                                      PkgConfig::CJSON PkgConfig::ICU Threads::Threads ${CMAKE_DL_LIBS} m)
target_include_directories(instant INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

# One object, in which everything but instant_* has become local.
set(archive ${CMAKE_BINARY_DIR}/libinstant.a)
add_custom_command(
  OUTPUT ${archive}
  COMMAND ${CMAKE_LINKER} -r -o instant.o ${objects}
  COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=instant_* instant.o
  COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
  COMMAND ${CMAKE_AR} rcs ${archive} instant.o
  DEPENDS ${objects}
  COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(instant_archive ALL DEPENDS ${archive})

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/instant)
set(PRIVATE_MODULES "libwebsockets libuv libcjson icu-i18n icu-uc openssl")
set(PRIVATE_LIBS "-lpthread -ldl -lm")
# Relative to where the file is, so that the whole can be moved; unless the folders are absolute.
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR} OR IS_ABSOLUTE ${CMAKE_INSTALL_INCLUDEDIR})
  set(LIBDIR_OF_PC ${CMAKE_INSTALL_FULL_LIBDIR})
  set(INCLUDEDIR_OF_PC ${CMAKE_INSTALL_FULL_INCLUDEDIR})
else()
  file(RELATIVE_PATH up /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
  set(LIBDIR_OF_PC "\${pcfiledir}/${up}${CMAKE_INSTALL_LIBDIR}")
  set(INCLUDEDIR_OF_PC "\${pcfiledir}/${up}${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(${CMAKE_SOURCE_DIR}/core/package/instant.pc.in instant.pc @ONLY)
configure_package_config_file(${CMAKE_SOURCE_DIR}/core/package/instantConfig.cmake.in instantConfig.cmake
  INSTALL_DESTINATION ${package} PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(instantConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS instant EXPORT instantTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT instantTargets NAMESPACE instant:: DESTINATION ${package})
install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${CMAKE_SOURCE_DIR}/core/include/instant.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/instant.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/instantConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/instantConfigVersion.cmake
  DESTINATION ${package})
